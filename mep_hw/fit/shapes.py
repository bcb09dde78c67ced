"""Families whose step is a curve: exp-step, power-step and piecewise, all cells together.

The curve is the same for all cells in the cell's own place, its weight relative to its range, and each cell has a gain.
Curve and gains are fitted in turn, three times; in the end each cell has a factor per direction, which
gives the spread.

Not valid for cells whose curves differ by more than their height and range: such differences are not in the errors.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from mep_hw.errors import DataError
from mep_hw.fit.curves import CURVES
from mep_hw.fit.estimate import Estimate, curve
from mep_hw.fit.found import Found, bound, step_and_asymmetry
from mep_hw.fit.readings import Floats, Readings
from mep_hw.fit.steps import Cells, Flags, Model, Steps

NAMES = tuple(CURVES)
_ROUNDS = 3


def fit_shapes(family: str, readings: Readings, steps: Steps) -> Found:
    """One of the three families.

    Raises:
        DataError: the data do not determine the curve, or a cell moves against its pulses.
    """
    shape = CURVES[family]
    low, high = steps.low, steps.high

    def mean(theta: Floats, gain: Floats) -> Model:
        """Signed mean changes by a curve and the factors of the cells, `gain` (2, cells): up, down."""

        def change(weight: Floats, up: Flags, cell: Cells) -> Floats:
            size = shape.size(theta, shape.place(weight, low[cell], high[cell]), up)
            return np.where(up, gain[0, cell] * size, -gain[1, cell] * size)

        return change

    gain = np.ones((2, len(readings.cells)))
    place = shape.place(steps.earlier, low[steps.cell], high[steps.cell])
    sized = np.where(steps.up, steps.change, -steps.change)
    theta = np.array(
        [shape.start(place[flags], sized[flags], up) for flags, up in ((steps.up, True), (~steps.up, False))]
    )
    errors, factors = np.zeros_like(theta), (gain, gain)
    for _ in range(_ROUNDS):

        def change(flat: Floats, gain: Floats = gain) -> Floats:
            model = mean(flat.reshape(2, -1), gain)
            return model(steps.before(model), steps.up, steps.cell)

        flat, flat_errors = curve(readings.source, change, steps, theta.ravel().tolist(), 2 * [*shape.lowest])
        theta, errors = flat.reshape(2, -1), flat_errors.reshape(2, -1)
        factors = _factors(readings, steps, mean(theta, np.ones_like(gain)))
        gain = np.broadcast_to(factors[0].mean(axis=0) / factors[0].mean(), gain.shape)
    base = np.array(shape.base(theta))[:, None]
    up, down = base * factors[0]
    dw_min, up_down = step_and_asymmetry(up, down, *(base * factors[1]))
    base_errors = shape.base(errors)
    dw_min = _with_error(dw_min, max(base_errors))
    up_down = _with_error(up_down, math.hypot(*base_errors) / float(base.max()))
    ends = zip(shape.bounds(theta, low, high), shape.bound_errors(errors, float((high - low).mean())), strict=True)
    w_min, w_max = (_with_error(bound(end), error) for end, error in ends)
    return Found(
        mean(theta, factors[0]), dw_min, up_down, w_min, w_max, shape.numbers(theta, errors), up, down,
    )  # fmt: skip


def _with_error(estimate: Estimate, error: float) -> Estimate:
    """The curve is shared by all cells, so its error does not shrink with their number."""
    return replace(estimate, error=math.hypot(estimate.error, error))


def _factors(readings: Readings, steps: Steps, model: Model) -> tuple[Floats, Floats]:
    """By what the curve is multiplied in each direction and cell, and the errors of that, each (2, cells)."""
    expected = model(steps.before(model), steps.up, steps.cell)
    factor, error = np.ones((2, 2, len(readings.cells)))
    for number, name in enumerate(readings.cells):
        for row, (kind, flags) in enumerate((("up", steps.up), ("down", ~steps.up))):
            own = flags & (steps.cell == number)
            square = float((expected[own] ** 2).sum())
            factor[row, number] = float((steps.change[own] * expected[own]).sum()) / square if square > 0 else 0.0
            if factor[row, number] <= 0:
                rule, fix = f"{kind} pulses do not move it {kind}", "exchange up and down, or leave it out"
                raise DataError(f"{readings.source}: cell {name}", rule=rule, fix=fix)
            left = steps.change[own] - factor[row, number] * expected[own]
            error[row, number] = float(np.sqrt((left**2).sum() / (own.sum() - 1) / square))
    return factor, error
