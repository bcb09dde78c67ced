"""Families whose step is a line in the weight: constant-step, linear-step and soft-bounds, cell by cell.

    up  c_up (1 - q_up w)        down  -c_down (1 - q_down w)

    constant-step   q = 0
    linear-step     gamma_up = q_up w_max,  gamma_down = q_down w_min
    soft-bounds     high = 1 / q_up,  low = 1 / q_down,  with the reference at 0 by definition

A line does not tell a reference from a bound, so the reference of soft bounds is 0. 1 / q is taken of the mean of q,
whose errors behave, with the second-order term of its spread: mean(1 / q) ~ (1 / q) (1 + spread^2 / q^2).

Not valid for cells with 1 / q spread by more than about 0.3, and for q within a few errors of 0: a bound that the data
do not show.
"""

from __future__ import annotations

import numpy as np

from mep_hw.errors import DataError
from mep_hw.fit.estimate import Estimate, average, curve
from mep_hw.fit.found import Found, Numbers, bound, step_and_asymmetry
from mep_hw.fit.readings import Floats, Readings
from mep_hw.fit.steps import Flags, Steps

NAMES = ("constant-step", "linear-step", "soft-bounds")


def fit_lines(family: str, readings: Readings, steps: Steps) -> Found:
    """One of the three families.

    Raises:
        DataError: a cell's steps have the wrong sign, or steps do not shrink towards bounds that the family needs.
    """
    sloped = family != "constant-step"
    cells = len(readings.cells)
    theta, errors = np.zeros((2, cells, 4))
    for number, name in enumerate(readings.cells):
        own = steps.of(number)
        start = [float(abs(own.change[flags].mean())) for flags in (own.up, ~own.up)]

        def change(flat: Floats, own: Steps = own) -> Floats:
            full = flat if sloped else np.array([flat[0], 0, flat[1], 0])
            expected = own.before(lambda weight, up, _: _line(full, weight, up))
            return _line(full, expected, own.up)

        where = f"{readings.source}: cell {name}"
        begin = [start[0], 0, start[1], 0] if sloped else start
        theta[number, :: 1 if sloped else 2], errors[number, :: 1 if sloped else 2] = curve(where, change, own, begin)
        for kind, step in (("up", theta[number, 0]), ("down", theta[number, 2])):
            if step <= 0:
                rule, fix = f"{kind} pulses do not move it {kind} at weight 0", "exchange up and down, or leave it out"
                raise DataError(where, f"{kind} step", f"{step:g}", rule=rule, fix=fix)
    dw_min, up_down = step_and_asymmetry(theta[:, 0], theta[:, 2], errors[:, 0], errors[:, 2])
    q_up, q_down = (average(theta[:, column], errors[:, column]) for column in (1, 3))
    w_min, w_max = bound(steps.low), bound(steps.high)
    response: Numbers = {}
    if family == "linear-step":
        response = {"gamma_up": _times(q_up, w_max.value), "gamma_down": _times(q_down, w_min.value)}
    elif family == "soft-bounds":
        w_min, w_max = (_bound(readings.source, q, kind) for q, kind in ((q_down, "down"), (q_up, "up")))
        zero = Estimate(0.0, 0.0, 0.0 if cells > 1 else None)
        response = {"reference": zero, "symmetry_point_at_zero": False}
    return Found(
        lambda weight, up, cell: _line(theta[cell].T, weight, up),
        dw_min, up_down, w_min, w_max, response, theta[:, 0], theta[:, 2],
    )  # fmt: skip


def _line(theta: Floats, weight: Floats, up: Flags) -> Floats:
    """Signed mean changes; `theta` (4,) for one cell or (4, steps)."""
    c_up, q_up, c_down, q_down = theta
    return np.where(up, c_up * (1 - q_up * weight), -c_down * (1 - q_down * weight))


def _times(estimate: Estimate, factor: float) -> Estimate:
    spread = None if estimate.spread is None else estimate.spread * abs(factor)
    return Estimate(estimate.value * factor, estimate.error * abs(factor), spread)


def _bound(source: str, q: Estimate, kind: str) -> Estimate:
    """1 / q, with the spread as a share of it."""
    if (q.value > 0) != (kind == "up") or abs(q.value) <= 2 * q.error:
        rule = f"{kind} steps do not shrink towards a bound (slope {q.value:.3g} +- {q.error:.3g})"
        fix = "fit linear-step or constant-step, or measure closer to the bounds"
        raise DataError(source, "soft-bounds", rule=rule, fix=fix)
    share = None if q.spread is None else q.spread / abs(q.value)
    value = (1 + (share or 0.0) ** 2) / q.value
    return Estimate(value, q.error / q.value**2, share)
