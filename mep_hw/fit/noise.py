"""Noise of pulses and of readings, told apart by how neighbouring residuals go together.

A residual from the model's step at the reading right before is n[i] + e[i] - e[i-1]: cycle noise n of this pulse, and
noise e of the two readings. (At the weight by an earlier reading, which the fit needs, cycle noise of the pulse before
would come in as well.) Residuals of pulses that follow each other share one e with opposite signs, so that

    var(e) = -mean(r[i] r[i+1]),      E[r^2] - 2 var(e) = sigma^2 m^2   (relative: m the step at the present weight)
                                                        = sigma^2 s^2   (constant: s the step of the cell at weight 0)

Of both forms the one with the smaller squared misfit of r^2 is taken. var(e) within two errors of 0 counts as none.

One reading per pulse cannot tell noise of writing, which stays until the next pulse, from noise of reading, so var(e)
goes into the card's `noise.write`. Not valid for noise that lasts for more than one reading (1/f, drift).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mep_hw.fit.readings import Floats
from mep_hw.fit.steps import Steps


@dataclass(frozen=True)
class Noise:
    """`cycle`: as a share of the step; `readings`: standard deviation of e in weights; `form`: relative or constant."""

    cycle: float
    readings: float
    form: str


def noise_of(steps: Steps, residual: Floats, mean: Floats, own_step: Floats, forms: tuple[str, ...]) -> Noise:
    """The noise in residuals.

    Args:
        steps: the pulses.
        residual: change minus the model's step at the reading right before, (steps,).
        mean: mean change by the fit, (steps,).
        own_step: the cell's step at weight 0 in the pulse's direction, (steps,).
        forms: the forms that the family can have.
    """
    together = (residual[1:] * residual[:-1])[steps.follows[1:]]
    shared = -float(together.mean()) if len(together) else 0.0
    certain = len(together) > 1 and shared > 2 * float(together.std(ddof=1)) / math.sqrt(len(together))
    shared = shared if certain else 0.0
    rest = residual**2 - 2 * shared
    found = []
    for form in forms:
        square = (mean if form == "relative" else own_step) ** 2
        share = max(0.0, float((rest * square).sum() / (square**2).sum()))
        found.append((float(((rest - share * square) ** 2).sum()), share, form))
    _, share, form = min(found)
    return Noise(math.sqrt(share), math.sqrt(shared), form)


def residual_rows(steps: Steps, residual: Floats) -> list[dict[str, float | int | str]]:
    """Per direction: pulses, rms of the step, rms of the residual (weights), and the share of variance explained."""
    rows: list[dict[str, float | int | str]] = []
    for kind, flags in (("up", steps.up), ("down", ~steps.up)):
        change, left = steps.change[flags], residual[flags]
        total = float(((change - change.mean()) ** 2).sum())
        rows.append(
            {
                "direction": kind,
                "pulses": int(flags.sum()),
                "rms_step": float(np.sqrt((change**2).mean())),
                "rms_residual": float(np.sqrt((left**2).mean())),
                "r2": 1 - float((left**2).sum()) / total if total > 0 else 0.0,
            }
        )
    return rows
