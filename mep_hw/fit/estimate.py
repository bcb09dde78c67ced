"""Least squares and averages over cells, with standard errors.

Standard errors are those of `scipy.optimize.curve_fit`, which takes residuals for independent; noise of readings makes
neighbours opposite, so that the errors are rather too large. Averages over cells follow the random-effects model: the
variance between cells is what the variance of the estimates exceeds their own squared errors by, and each cell counts
with 1 / (error^2 + variance between cells).

Not valid for residuals with heavy tails.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from mep_hw.errors import DataError
from mep_hw.fit.readings import Floats

_TINY = 1e-12


@dataclass(frozen=True)
class Estimate:
    """A number and its standard error; `spread`: standard deviation between cells, None with a single cell."""

    value: float
    error: float
    spread: float | None = None


def curve(
    where: str, model: Callable[[Floats], Floats], change: Floats, start: Sequence[float],
    lowest: Sequence[float] | None = None,
) -> tuple[Floats, Floats]:  # fmt: skip
    """Parameters (n,) for which `model` comes closest to `change`, and their standard errors (n,).

    Args:
        where: what is fitted, for messages.
        model: parameters to mean changes.
        change: measured changes.
        start: first guess.
        lowest: lower bounds of the parameters; None: no bounds.

    Raises:
        DataError: no best parameters are found, or the data do not determine them.
    """

    def at(_: Floats, *theta: float) -> Floats:
        return model(np.array(theta))

    fix = "give more pulses over a wider range, or choose a family with fewer parameters"
    bounds = (-np.inf, np.inf) if lowest is None else (np.array(lowest), np.inf)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optimize.OptimizeWarning)  # the covariance is looked at below
        try:
            found, covariance = optimize.curve_fit(
                at, np.arange(len(change)), change, p0=start, bounds=bounds,
                method="trf", x_scale="jac",
            )  # fmt: skip
        except RuntimeError:
            raise DataError(where, rule="the fit does not converge", fix=fix) from None
    errors = np.sqrt(np.diag(covariance))
    if not (np.isfinite(found).all() and np.isfinite(errors).all()):
        raise DataError(where, rule="the data do not determine the parameters", fix=fix)
    return found, errors


def average(values: Floats, errors: Floats) -> Estimate:
    """Mean over cells, its error, and the spread between cells."""
    if len(values) == 1:
        return Estimate(float(values[0]), float(errors[0]))
    between = max(0.0, float(values.var(ddof=1) - (errors**2).mean()))
    weight = 1 / (errors**2 + between + _TINY)
    mean = float((weight * values).sum() / weight.sum())
    return Estimate(mean, math.sqrt(1 / float(weight.sum())), math.sqrt(between))
