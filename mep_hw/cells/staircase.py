"""The pulse staircase of a device: what n up pulses and then n down pulses do to many cells.

n is one and a half times the range over dw_min, so that cells come to their bounds and symmetric ones back again. Cells
begin at their lower bound.

Not valid as a measure of speed: no time passes between pulses, so nothing drifts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mep_hw.cards import DeviceCard
from mep_hw.cells.cells import Cells
from mep_hw.errors import CapabilityError
from mep_hw.pictures import png

_CELLS, _SHOWN = 200, 5
_READINGS = 300
_LONGEST = 20000  # pulses per direction; steps of a ten-thousandth of the range and less do not reach the other end


@dataclass(frozen=True)
class Staircase:
    """Readings of cells (readings, cells) after `pulses` (readings,), `turn` of them up; the card's bounds."""

    pulses: NDArray[np.int64]
    weights: NDArray[np.float64]
    turn: int
    bounds: tuple[float, float]


def staircase(card: DeviceCard, seed: int = 0) -> Staircase:
    """What 200 cells of the card read on the way up and down.

    Raises:
        CapabilityError: the cells of this card take no pulses.
        DataError: the card's tables are missing or malformed.
    """
    low, high, step = card.w_min.value, card.w_max.value, card.dw_min.value
    if low is None or high is None or step is None:
        raise CapabilityError(
            f"device {card.name}", "response.family", card.family,
            rule="there is no staircase without pulses, bounds and dw_min", fix="choose a device with a pulse response",
        )  # fmt: skip
    turn = min(math.ceil(1.5 * (high - low) / step), _LONGEST)
    each = math.ceil(2 * turn / _READINGS)
    generator = torch.Generator().manual_seed(seed)
    made = Cells(card, (_CELLS,), generator, torch.float64)
    made.set(made.bounds[0])
    none = torch.zeros(_CELLS, dtype=torch.int64)
    pulses, weights = [0], [made.weights]
    for up in (True, False):
        done = 0
        while done < turn:
            number = min(each, turn - done)
            made.pulse(*((none + number, none) if up else (none, none + number)))
            done += number
            pulses.append(pulses[-1] + number)
            weights.append(made.weights)
    return Staircase(np.array(pulses), torch.stack(weights).numpy(), turn, (low, high))


def draw_staircase(card: DeviceCard, stairs: Staircase) -> bytes:
    """A PNG: mean and spread of all cells, five single ones, and the card's bounds."""
    from matplotlib.figure import Figure  # slow to import, and not needed for the numbers

    mean, spread = stairs.weights.mean(axis=1), stairs.weights.std(axis=1)
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.fill_between(stairs.pulses, mean - spread, mean + spread, alpha=0.25, label="standard deviation of all cells")
    for number in range(_SHOWN):
        label = f"{_SHOWN} of {stairs.weights.shape[1]} cells" if number == 0 else None
        axes.plot(stairs.pulses, stairs.weights[:, number], linewidth=0.6, color="grey", label=label)
    axes.plot(stairs.pulses, mean, linewidth=2, color="black", label="mean")
    for bound in stairs.bounds:
        axes.axhline(bound, linestyle="--", linewidth=0.8, color="red", label="w_min, w_max")
    axes.axvline(stairs.turn, linewidth=0.6, color="black")
    axes.set_xlabel(f"pulses: {stairs.turn} up, then {int(stairs.pulses[-1]) - stairs.turn} down")
    axes.set_ylabel("weight")
    axes.set_title(f"{card.name}: {card.family}")
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    axes.legend(unique.values(), unique.keys(), fontsize=8)
    return png(figure, dpi=110)
