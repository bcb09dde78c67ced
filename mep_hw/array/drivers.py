"""The drivers of a coupling's arrays: they fire lines as a schedule says, cells answer, and what that took is counted.

Used for the cells of a machine, and for cells of its kind drawn to predict what verifying them takes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mep_hw.array.driven import Driven, Pair, in_outer, in_rows
from mep_hw.array.electrics import Electrics
from mep_hw.array.layout import Layout
from mep_hw.array.spent import Spent, of_outer, of_reads, of_rows
from mep_hw.cells import Cells
from mep_hw.schedule.ir import Outer, Row
from mep_hw.schedule.pulses import up_and_down


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


def driven_by(cycle: Outer | Row, layout: Layout, one_sided: bool) -> Driven:
    """What lines and cells see of a cycle."""
    pulses = in_arrays(layout, one_sided, *up_and_down(cycle))
    if isinstance(cycle, Outer):
        return in_outer(cycle, layout, pulses, one_sided=one_sided)
    return in_rows(pulses, layout, cycle.along)


def spent_by(cycle: Outer | Row, driven: Driven, one_sided: bool, electrics: Electrics, cells: Tensor) -> Spent:
    """What a cycle takes on cells of these weights, (arrays, out, in)."""
    if isinstance(cycle, Outer):
        return of_outer(driven, len(cycle.lengths), outer_slots(cycle, one_sided), electrics, cells)
    return of_rows(driven, cycle.along, electrics, cells)


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

    def pulse(self, cycle: Outer | Row) -> Spent:
        """Pulse weights where their lines coincide, or line by line."""
        driven = driven_by(cycle, self.layout, self.one_sided)
        return self._pulse(driven, spent_by(cycle, driven, self.one_sided, self.electrics, self.cells.weights))

    def lines(self, pulses: Pair) -> Spent:
        """Pulse cells so often up and down, (arrays, out, in) each, one word line after the other."""
        driven = in_rows(pulses, self.layout)
        return self._pulse(driven, of_rows(driven, "words", self.electrics, self.cells.weights))

    def read(self, lines: Tensor, after_pulses: bool = False) -> Spent:
        """What reading word lines takes, `lines` times each, (columns of the grid, in)."""
        return of_reads(lines, self.layout, self.electrics, self.cells.weights, after_pulses)

    def _pulse(self, driven: Driven, spent: Spent) -> Spent:
        self.cells.pulse(*driven.pulses)
        if self.disturb:
            self.cells.disturb(*(self.disturb * slots.to(self.cells.weights) for slots in driven.halves))
        return spent
