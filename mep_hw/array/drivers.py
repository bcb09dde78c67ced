"""The drivers of a coupling's arrays: they fire lines as a schedule says, cells answer, and what that took is counted.

Used for the cells of a machine, and for cells of its kind drawn to predict what verifying them takes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mep_hw.array.driven import Along, Driven, Pair, in_outer, in_rows
from mep_hw.array.electrics import Electrics
from mep_hw.array.layout import Layout
from mep_hw.array.spent import Spent, of_outer, of_reads, of_rows
from mep_hw.cells import Cells
from mep_hw.schedule.ir import Outer
from mep_hw.schedule.trains import coincidences


def in_arrays(layout: Layout, one_sided: bool, up: Tensor, down: Tensor) -> Pair:
    """Up and down pulses of cells, (arrays, out, in), that move weights up and down so often, (out, in) each.

    In a pair the second array goes the other way, or, where cells hold one sign only, pulses down are up in it.
    """
    if not layout.pair:
        return up[None], down[None]
    both = torch.stack([up, down])
    return (both, torch.zeros_like(both)) if one_sided else (both, torch.stack([down, up]))


def outer_slots(trains: Outer, one_sided: bool) -> int:
    """Times at which lines fire, polarity phases included; a pair of one sign takes both polarities of bit lines at
    once, one in each array."""
    words, bits = trains.polarities
    return len(trains.words) * words * (min(bits, 1) if one_sided else bits)


@dataclass
class Drivers:
    """Lines of `layout` with `cells` (arrays, out, in) where they cross.

    one_sided: cells hold one sign only, so that a pair is pulsed up in one of its arrays.
    disturb: what half a voltage moves a cell, as a share of the mean step.
    """

    cells: Cells
    layout: Layout
    electrics: Electrics
    one_sided: bool
    disturb: float = 0.0

    def outer(self, trains: Outer) -> Spent:
        """Pulse weights where their lines coincide."""
        pulses = in_arrays(self.layout, self.one_sided, *coincidences(trains))
        driven = in_outer(trains, self.layout, pulses, one_sided=self.one_sided)
        slots = outer_slots(trains, self.one_sided)
        return self._pulse(driven, of_outer(driven, len(trains.lengths), slots, self.electrics, self.cells.weights))

    def rows(self, pulses: Tensor, along: Along) -> Spent:
        """Pulse weights line by line; `pulses` (out, in), above 0 up and below 0 down."""
        up, down = pulses.clamp(min=0), -pulses.clamp(max=0)
        return self.lines(in_arrays(self.layout, self.one_sided, up, down), along)

    def lines(self, pulses: Pair, along: Along = "words") -> Spent:
        """The same by the pulses of cells, (arrays, out, in) up and down."""
        driven = in_rows(pulses, self.layout, along)
        return self._pulse(driven, of_rows(driven, along, self.electrics, self.cells.weights))

    def read(self, lines: Tensor, after_pulses: bool = False) -> Spent:
        """What reading word lines takes, `lines` times each, (columns of the grid, in)."""
        return of_reads(lines, self.layout, self.electrics, self.cells.weights, after_pulses)

    def _pulse(self, driven: Driven, spent: Spent) -> Spent:
        self.cells.pulse(*driven.pulses)
        if self.disturb:
            self.cells.disturb(*(self.disturb * slots.to(self.cells.weights) for slots in driven.halves))
        return spent
