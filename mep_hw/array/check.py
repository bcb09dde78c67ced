"""What every function on arrays asks of its arguments."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mep_hw.errors import InputError


def check_conductance(value: Tensor) -> None:
    """Refuse conductances (..., rows, cols) that no passive cell has."""
    if value.dim() < 2 or value.numel() == 0:
        shape = tuple(value.shape)
        raise InputError("array", "conductance shape", shape, rule="must be (rows, cols)", fix="give siemens per cell")
    if not bool(torch.isfinite(value).all()) or bool((value < 0).any()):
        worst = value[~((value >= 0) & torch.isfinite(value))][0].item()
        rule = "must be finite and not negative"
        raise InputError("array", "conductance", worst, rule=rule, fix="clamp cells to the range of their device")


def check_resistance(name: str, ohm: float) -> None:
    """Refuse a resistance of wires that is negative or not finite."""
    if not (math.isfinite(ohm) and ohm >= 0):
        raise InputError("wires", name, ohm, rule="must be finite and not negative", fix="give ohm per segment")
