"""What a machine can do at best: bytes copied and products computed per second, measured, and the time they leave.

The least time of a training step is that of its products at the speed of one large product, or of the bytes that have
to move at the speed of a copy, whichever is longer (Williams et al. 2009, Commun. ACM 52, 65). Launches are left out,
so small batches stay far from it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from mep_hw.model import Model
from mep_hw.studies.speed import multiplications
from mep_hw.substrates.products import rounding

REPEATS = 9
WHOLE = 4  # bytes of a number


@dataclass(frozen=True)
class Ceilings:
    """copied: bytes read and written per second. operations: of products per second, additions counted too."""

    copied: float
    operations: float


def ceilings(place: torch.device, operands: str, side: int, count: int) -> Ceilings:
    """Measured with a product of side x side matrices and a copy of `count` numbers."""
    values = torch.empty(count, device=place).normal_()
    other = torch.empty_like(values)
    low = torch.bfloat16 if operands == "bf16" else torch.float32
    left, right = (torch.empty(side, side, device=place).normal_().to(low) for _ in range(2))
    with rounding(operands, place):
        copy, product = seconds(lambda: other.copy_(values), place), seconds(lambda: left @ right, place)
    return Ceilings(2 * WHOLE * count / copy, 2 * side**3 / product)


def least_seconds(model: Model, batch: int, sweeps: tuple[int, int], found: Ceilings) -> float:
    """Of one training step with these free and nudged sweeps.

    Weights are read once and changed once; of the states the free ones and both nudged ones are written and read.
    """
    weights = sum(weight.numel() for weight in model.weights)
    columns = sum(_count(layer.shape) for layer in model.layers)
    moved = WHOLE * (3 * weights + batch * (_count(model.input_shape) + 3 * 2 * columns))
    return max(2 * batch * multiplications(model, *sweeps) / found.operations, moved / found.copied)


def seconds(call: Callable[[], object], place: torch.device) -> float:
    """Median time of a call, the device's work included."""
    times: list[float] = []
    for _ in range(REPEATS + 1):
        wait(place)
        start = time.perf_counter()
        call()
        wait(place)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def wait(place: torch.device) -> None:
    """Until the device has done all that it was given."""
    if place.type == "cuda":
        torch.cuda.synchronize(place)


def _count(shape: tuple[int, ...]) -> int:
    return torch.Size(shape).numel()
