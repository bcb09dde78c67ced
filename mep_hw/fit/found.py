"""What a family's fit finds: per-cell steps, bounds, the response block of the card, and the model that made them.

Steps and their asymmetry follow the card's convention: dw_min is the larger of the two mean steps at weight 0, up_down
says by which share the other is smaller. Between cells, half the sum of both steps varies by `spread.dw_min`, half
their difference by `spread.up_down`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mep_hw.fit.estimate import Estimate, average
from mep_hw.fit.readings import Floats
from mep_hw.fit.steps import Model

Numbers = dict[str, Estimate | tuple[float, ...] | bool]  # fields of a response block


@dataclass(frozen=True)
class Found:
    """`dw_min` and bounds in weights, spreads inside of them as shares of dw_min and of the bound; `response` holds the
    family's own numbers by field, or plain values; `step_up`, `step_down`: steps at weight 0, (cells,)."""

    model: Model
    dw_min: Estimate
    up_down: Estimate
    w_min: Estimate
    w_max: Estimate
    response: Numbers
    step_up: Floats
    step_down: Floats


def step_and_asymmetry(up: Floats, down: Floats, up_error: Floats, down_error: Floats) -> tuple[Estimate, Estimate]:
    """dw_min and up_down of cells with these steps (sizes) at weight 0, and their errors; all (cells,)."""
    error = np.hypot(up_error, down_error) / 2
    half_sum, half_difference = average((up + down) / 2, error), average((up - down) / 2, error)
    large = half_sum.value + abs(half_difference.value)
    # Cells differ more in their gain than in their asymmetry, so its error is that of the difference alone.
    return (
        Estimate(large, math.hypot(half_sum.error, half_difference.error), _share(half_sum, large)),
        Estimate(2 * half_difference.value / large, 2 * half_difference.error / large, _share(half_difference, large)),
    )


def bound(values: Floats) -> Estimate:
    """A bound from the range that each cell was seen in; its spread is a share of it."""
    found = average(values, np.zeros_like(values))
    return Estimate(found.value, found.error, _share(found, abs(found.value)))


def _share(estimate: Estimate, whole: float) -> float | None:
    return None if estimate.spread is None else estimate.spread / whole
