"""One call from a file of pulses to a device card: read, fit, and say how well it went."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mep_hw.cards import DeviceCard
from mep_hw.cards.explain import did_you_mean
from mep_hw.errors import DataError
from mep_hw.fit import lines, shapes
from mep_hw.fit.cards import Origin, card_of, quantities
from mep_hw.fit.found import Found
from mep_hw.fit.noise import noise_of, residual_rows
from mep_hw.fit.readings import Readings, read_pulses
from mep_hw.fit.steps import Steps, steps_of

FAMILIES = (*lines.NAMES, *shapes.NAMES)
_FORMS = {"linear-step": ("relative", "constant"), "soft-bounds": ("relative", "constant")}


@dataclass(frozen=True)
class Fitted:
    """A card, where it comes from, and how well it describes the data.

    `report` has `family`, `source`, `cells`, `pulses`, `parameters` (rows of name, value, error, unit) and `residuals`
    (a row per direction; see `noise.residual_rows`).
    """

    card: DeviceCard
    readings: Readings
    steps: Steps
    found: Found
    report: dict[str, Any]


def fit_card(pulses: str | Path, family: str, name: str, *, simulated: bool = False) -> Fitted:
    """The card of one family that comes closest to the pulses of a file.

    Args:
        pulses: a CSV file; see `mep_hw.fit.readings`.
        family: one of `FAMILIES`.
        name: of the card.
        simulated: whether the pulses come from a simulator; the card is then labelled with that.

    Raises:
        DataError: an unknown family, a file that breaks the rules, or data that do not determine the numbers.
        CardError: the name is not one that a card can have.
    """
    if family not in FAMILIES:
        fix = f"{did_you_mean(family, FAMILIES)}families are {', '.join(FAMILIES)}, and table"
        raise DataError("fit", "family", family, rule="is not a family that can be fitted", fix=fix)
    readings = read_pulses(pulses)
    steps = steps_of(readings)
    fit = lines.fit_lines if family in lines.NAMES else shapes.fit_shapes
    found = fit(family, readings, steps)
    mean = found.model(steps.before(found.model), steps.up, steps.cell)
    at_reading = found.model(steps.reading, steps.up, steps.cell)
    own_step = np.where(steps.up, found.step_up[steps.cell], found.step_down[steps.cell])
    noise = noise_of(steps, steps.change - at_reading, mean, own_step, _FORMS.get(family, ("relative",)))
    origin = Origin(Path(pulses), family, len(readings.cells), len(steps.change), simulated)
    report = {
        "family": family,
        "source": readings.source,
        "cells": origin.cells,
        "pulses": origin.pulses,
        "parameters": quantities(found, noise),
        "residuals": residual_rows(steps, steps.change - mean),
    }
    return Fitted(card_of(name, origin, readings, found, noise), readings, steps, found, report)
