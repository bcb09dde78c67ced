"""Which lines could change places so that wear is levelled.

A word line whose cells take many pulses and one whose cells take few can exchange their inputs now and then, which is
a change of addresses. Each cell then gets the mean of both, so an exchange helps only where that is clearly less than
what the most pulsed cell of the hot line gets. The pulses of one update stand for those to come.

Not valid where the pattern of pulses moves from update to update, as wear then levels itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from mep_hw.schedule.ir import Along

HOT = 2.0  # times the mean of all lines
WORTH = 0.75  # of the most pulses of a cell, which an exchange must come below


@dataclass(frozen=True)
class Exchange:
    """Two lines that could change places.

    hot, cold: their numbers.
    times: pulses of the cells on the hot line over the mean of all lines.
    most: pulses of its most pulsed cell, and what that is with the exchange, on average.
    """

    lines: Along
    hot: int
    cold: int
    times: float
    most: tuple[float, float]


def exchanges(pulses: Tensor) -> tuple[Exchange, ...]:
    """Those that help, the hottest line first, for the pulses of each cell (arrays, out, in)."""
    cells = pulses.double()
    return (*_of_lines("words", cells.movedim(2, 0).flatten(1)), *_of_lines("bits", cells.movedim(1, 0).flatten(1)))


def _of_lines(lines: Along, cells: Tensor) -> tuple[Exchange, ...]:
    """The same for lines (lines, cells of a line): the hottest with the coldest, the next with the next."""
    totals = cells.sum(1)
    mean, order = float(totals.mean()), totals.argsort(descending=True).tolist()
    found: list[Exchange] = []
    for hot, cold in zip(order, reversed(order), strict=True):
        if float(totals[hot]) <= HOT * mean or float(totals[cold]) >= mean:
            break
        before, after = float(cells[hot].max()), float(((cells[hot] + cells[cold]) / 2).max())
        if after <= WORTH * before:
            found.append(Exchange(lines, hot, cold, float(totals[hot]) / mean, (before, after)))
    return tuple(found)
