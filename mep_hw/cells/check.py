"""What the methods of `Cells` are given: one entry per cell, and pulses as whole numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from mep_hw.errors import ScheduleError


def flatten(value: Tensor, name: str, shape: tuple[int, ...]) -> Tensor:
    """`value` as a list of cells.

    Raises:
        ScheduleError: it has not the shape of the array.
    """
    if value.shape != shape:
        rule = f"must have the cells' shape {shape}"
        raise ScheduleError("cells", name, tuple(value.shape), rule=rule, fix="give one entry per cell")
    return value.reshape(-1)


def flat_counts(counts: Tensor, name: str, shape: tuple[int, ...]) -> Tensor:
    """`counts` of pulses as a list of cells.

    Raises:
        ScheduleError: they have not the shape of the array, are not of an integer type, or one is negative.
    """
    if counts.is_floating_point() or counts.is_complex() or counts.dtype == torch.bool:
        raise ScheduleError("cells", name, counts.dtype, rule="must hold whole numbers", fix="give an integer tensor")
    flat = flatten(counts, name, shape)
    if flat.numel() and int(flat.min()) < 0:
        fix = "count pulses of the other direction in the other tensor"
        raise ScheduleError("cells", name, int(flat.min()), rule="must not be negative", fix=fix)
    return flat if flat.dtype in (torch.int32, torch.int64) else flat.to(torch.int64)  # sums of small ones overflow
