"""From readings to steps: by how much each pulse changed its cell, and from where.

A reading carries noise e. The change w[i] - w[i-1] contains -e[i-1], so that a regression of it on w[i-1] sees a slope
that is not there (regression dilution: of the size var(e) / var(w), easily ten times a real slope). So the weight
before a pulse is taken from the reading before that one, plus the fitted step of the pulse in between: `before`.

A cell at a hard bound answers less than its family says, so pulses from the outer 5 % of a cell's range are left out,
or from within three standard deviations of its readings of the range's ends where that is more, up to 15 %. The range
is that between the 1 % and 99 % quantiles of running means over five readings; noise widens it by about its deviation.

Not valid where single pulses with large noise cross much of the range: the error of `before` then flattens slopes, by
the ratio of its variance to that of all weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mep_hw.errors import DataError
from mep_hw.fit.readings import Floats, Readings

Flags = NDArray[np.bool_]
Cells = NDArray[np.int64]
Model = Callable[[Floats, Flags, Cells], Floats]  # weight, up, cell -> mean change

_OUTER, _OUTER_MOST = 0.05, 0.15
_DEVIATIONS = 3.0
_QUANTILE = 0.01
_WINDOW = 5
_FEWEST = 10


@dataclass(frozen=True)
class Steps:
    """Usable pulses, each (steps,).

    `cell` is the number of the cell; `earlier` the reading before the pulse before, and `earlier_up` that pulse's
    direction; `reading`, `up` and `change` the reading before this pulse, its direction and its change; `follows` marks
    steps whose left neighbour is the pulse before. `low` and `high` are the ranges of the cells, (cells,).
    """

    cell: Cells
    earlier: Floats
    earlier_up: Flags
    reading: Floats
    up: Flags
    change: Floats
    follows: Flags
    low: Floats
    high: Floats

    def before(self, model: Model) -> Floats:
        """The weight that each pulse found, by the reading one pulse earlier and the model's step from there."""
        return self.earlier + model(self.earlier, self.earlier_up, self.cell)

    def of(self, number: int) -> Steps:
        """The steps of one cell."""
        own = self.cell == number
        return Steps(
            self.cell[own], self.earlier[own], self.earlier_up[own], self.reading[own], self.up[own], self.change[own],
            self.follows[own], self.low, self.high,
        )  # fmt: skip


def steps_of(readings: Readings) -> Steps:
    """The usable steps of all cells.

    Raises:
        DataError: a cell has fewer than 10 of one direction, or cells do not move over a range that contains 0.
    """
    low, high, deviation = np.array([_range_of(readings, number) for number in range(len(readings.cells))]).T
    this = np.flatnonzero(~readings.first[2:] & ~readings.first[1:-1]) + 2
    cell, earlier = readings.cell[this], readings.weight[this - 2]
    margin = np.clip(_DEVIATIONS * deviation, _OUTER * (high - low), _OUTER_MOST * (high - low))
    inner = (earlier > (low + margin)[cell]) & (earlier < (high - margin)[cell])
    this, cell, earlier = this[inner], cell[inner], earlier[inner]
    steps = Steps(
        cell, earlier, readings.up[this - 1], readings.weight[this - 1], readings.up[this],
        readings.weight[this] - readings.weight[this - 1], np.diff(this, prepend=-1) == 1, low, high,
    )  # fmt: skip
    for number, name in enumerate(readings.cells):
        for kind, flags in (("up", steps.up), ("down", ~steps.up)):
            count = int((flags & (cell == number)).sum())
            if count < _FEWEST:
                rule = f"has {count} usable {kind} pulses; at least {_FEWEST} are needed"
                fix = "measure more pulses inside of the range, with less noise of reading, or leave the cell out"
                raise DataError(readings.source, f"cell {name}", rule=rule, fix=fix)
    if not low.mean() < 0 < high.mean():
        rule = "must lie on both sides of 0, where dw_min is defined"
        shown = f"{low.mean():g} to {high.mean():g}"
        raise DataError(readings.source, "weight", shown, rule=rule, fix="subtract the middle, or give conductances")
    return steps


def _range_of(readings: Readings, number: int) -> tuple[float, float, float]:
    """Lowest and highest weight of a cell, and how far its readings scatter around their running means."""
    own = readings.cell == number
    traces = np.split(readings.weight[own], np.flatnonzero(readings.first[own])[1:])
    means, scatter = [], []
    for trace in traces:
        window = min(_WINDOW, len(trace))
        smooth = np.convolve(trace, np.full(window, 1 / window), mode="valid")
        means.append(smooth)
        middle = trace[(window - 1) // 2 :][: len(smooth)]
        scatter.append((middle - smooth) ** 2 * window / max(window - 1, 1))
    low, high = np.quantile(np.concatenate(means), (_QUANTILE, 1 - _QUANTILE))
    return float(low), float(high), float(np.sqrt(np.concatenate(scatter).mean()))
