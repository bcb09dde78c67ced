"""Write and verify: pulse, read, and pulse again what is off by more than a tolerance, all cells in every round.

Steps larger than the card's mean overshoot: a cell that was passed by gets half of its share from then on. An error
within the noise of a write is drawn anew by one pulse and not worked off.

Not valid for cells that a pulse moves the other way than it should in the mean: they are pulsed until rounds are over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mep_hw.cells import Cells

WRITE_NOISES = 2.0  # standard deviations of write noise that an error must exceed to be worked off


@dataclass(frozen=True)
class Written:
    """What a write did: rounds of pulses, the slots of these rounds, pulses of all cells, and their energy (J).

    Of programming by a law no source says how many pulses it takes, so the figures are None.
    """

    rounds: int | None
    slots: int | None
    pulses: int | None
    energy: float | None

    def __add__(self, other: Written) -> Written:
        return Written(
            _sum(self.rounds, other.rounds), _sum(self.slots, other.slots), _sum(self.pulses, other.pulses),
            _sum(self.energy, other.energy),
        )  # fmt: skip


def by_pulses(
    cells: Cells, aims: Tensor, tolerance: float, iterations: int, pulse: Callable[[Tensor, Tensor], float | None]
) -> Written:
    """Bring `cells` to `aims` by pulses; all tensors in the cells' shape.

    Args:
        tolerance: largest error that is left alone, in units of the cells' weight.
        iterations: most rounds of pulses and reads.
        pulse: applies up and down pulses to the cells and returns their energy (J), None where it is unknown.
    """
    step = cells.card.dw_min.value
    done, share, last = Written(0, 0, 0, 0.0), torch.ones_like(aims), torch.zeros_like(aims)
    for _ in range(iterations):
        error = aims - cells.read()
        wanted = error.sign()
        share = torch.where(wanted * last < 0, share / 2, share)
        last = wanted
        if step is not None:
            far = error.abs() > WRITE_NOISES * cells.write_noise
            count = (error.abs() / step * share).round().clamp(min=1)
            wanted = torch.where(far, wanted * count, wanted)
        wanted = torch.where(error.abs() > tolerance, wanted, 0.0).int()
        if not bool(wanted.any()):
            break
        up, down = wanted.clamp(min=0), -wanted.clamp(max=0)
        energy = pulse(up, down)
        done += Written(1, int(up.amax()) + int(down.amax()), int(wanted.abs().sum()), energy)
    return done


def _sum(a: Any, b: Any) -> Any:
    return None if a is None or b is None else a + b
