"""Least squares and averages over cells, with standard errors.

Residuals of neighbouring pulses share the noise of one reading with opposite signs, so that mean steps are known much
better than independent residuals would say; standard errors count with that covariance. Averages over cells follow the
random-effects model: the variance between cells is what the variance of the estimates exceeds their own squared errors
by, and each cell counts with 1 / (error^2 + variance between cells).

Not valid for residuals with heavy tails.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mep_hw.errors import DataError
from mep_hw.fit.readings import Floats
from mep_hw.fit.steps import Flags, Steps

_TINY = 1e-12
_SINGULAR = 1e7  # condition number of the slopes, each scaled to 1, from which on they count as dependent


@dataclass(frozen=True)
class Estimate:
    """A number and its standard error; `spread`: standard deviation between cells, None with a single cell."""

    value: float
    error: float
    spread: float | None = None


def curve(
    where: str, model: Callable[[Floats], Floats], steps: Steps, start: Sequence[float],
    lowest: Sequence[float] | None = None,
) -> tuple[Floats, Floats]:  # fmt: skip
    """Parameters (n,) for which `model` comes closest to the changes, and their standard errors (n,).

    Args:
        where: what is fitted, for messages.
        model: parameters to mean changes, (steps,).
        steps: the pulses with their changes.
        start: first guess.
        lowest: lower bounds of the parameters; None: no bounds.

    Raises:
        DataError: no best parameters are found, or the data do not determine them.
    """
    from scipy import optimize  # slow to import, and only needed here

    fix = "give more pulses over a wider range, or choose a family with fewer parameters"
    bounds = (-np.inf if lowest is None else np.array(lowest), np.inf)

    def residual(theta: Floats) -> Floats:
        return steps.change - model(theta)

    found = optimize.least_squares(residual, start, bounds=bounds, x_scale="jac")
    if not found.success:
        raise DataError(where, rule="the fit does not converge", fix=fix)
    slopes: Floats = np.asarray(found.jac)
    scale = np.linalg.norm(slopes, axis=0)
    if (scale == 0).any() or np.linalg.cond(slopes / scale) > _SINGULAR:
        raise DataError(where, rule="the data do not determine the parameters", fix=fix)
    return found.x, _errors(slopes, found.fun, steps.follows)


def _errors(slopes: Floats, residual: Floats, follows: Flags) -> Floats:
    """Standard errors of parameters from residuals whose neighbours have a covariance, between 0 and -variance / 2."""
    variance = float((residual**2).sum()) / max(len(residual) - slopes.shape[1], 1)
    left, right = np.flatnonzero(follows[1:]), np.flatnonzero(follows[1:]) + 1
    shared = float((residual[left] * residual[right]).mean()) if len(left) else 0.0
    shared = min(max(shared, -variance / 2), 0.0)
    across = slopes[left].T @ slopes[right]
    inverse = np.linalg.inv(slopes.T @ slopes)
    covariance = inverse @ (variance * slopes.T @ slopes + shared * (across + across.T)) @ inverse
    return np.sqrt(np.maximum(np.diag(covariance), 0))


def average(values: Floats, errors: Floats) -> Estimate:
    """Mean over cells, its error, and the spread between cells."""
    if len(values) == 1:
        return Estimate(float(values[0]), float(errors[0]))
    between = max(0.0, float(values.var(ddof=1) - (errors**2).mean()))
    weight = 1 / (errors**2 + between + _TINY)
    mean = float((weight * values).sum() / weight.sum())
    return Estimate(mean, math.sqrt(1 / float(weight.sum())), math.sqrt(between))
