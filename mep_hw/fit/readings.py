"""Pulse measurements from a CSV file: one row is one reading of one cell, taken after one pulse.

    cell          name of the cell, any text
    pulse         0 for the reading that begins a trace, then 1, 2, 3 ... without gaps
    direction     kind of that pulse, `up` or `down`; `start` where pulse is 0
    conductance   what was read, in siemens; or `weight`, in any unit of your own

Rows of a cell stand in the order of time, cells may follow each other or alternate, a cell may have several traces, and
other columns are left alone. Conductances become weights by one straight line: the lowest reading of a cell is -1,
its highest 1, in the mean over cells.

Not valid for: several pulses between two readings, and pulses of different voltage or width in one file.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mep_hw.errors import DataError

Floats = NDArray[np.float64]
_VALUES = ("conductance", "weight")
_DIRECTIONS = ("start", "up", "down")


@dataclass(frozen=True)
class Scale:
    """Conductances in siemens of the weights -1 and 1."""

    low: float
    high: float

    def conductance(self, weight: Floats | float) -> Floats | float:
        return self.low + (self.high - self.low) * (weight + 1) / 2


@dataclass(frozen=True)
class Readings:
    """All rows, ordered by cell and time; arrays are (rows,).

    `cells` are the names, `cell` the number of each row's; `first` marks the rows that begin a trace, `up` the rows
    after an up pulse; `weight` is what was read, and `scale` how it follows from siemens (None: the file has weights).
    """

    source: str
    cells: list[str]
    cell: NDArray[np.int64]
    first: NDArray[np.bool_]
    up: NDArray[np.bool_]
    weight: Floats
    scale: Scale | None


def read_pulses(path: str | Path) -> Readings:
    """The readings of a file.

    Raises:
        DataError: the file cannot be read, a column is missing, or a row breaks the rules above.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            column = _value_column(path, [name.strip() for name in reader.fieldnames or []])
            reader.fieldnames = [name.strip() for name in reader.fieldnames or []]
            rows = [_row(path, reader.line_num, row, column) for row in reader]
    except OSError as error:
        raise DataError(str(path), rule=f"cannot be read: {error.strerror}", fix="give a CSV file of pulses") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(str(path), rule=f"is not a CSV file ({error})", fix="save it as UTF-8 text") from None
    if not rows:
        raise DataError(str(path), rule="holds no readings", fix="give one row per reading")
    names = list(dict.fromkeys(row.cell for row in rows))
    number = {name: index for index, name in enumerate(names)}
    rows.sort(key=lambda row: number[row.cell])  # stable: time stays in order
    _check_order(path, rows)
    cell, value = np.array([number[row.cell] for row in rows]), np.array([row.value for row in rows])
    scale = None
    if column == "conductance":
        each = [value[cell == index] for index in range(len(names))]
        scale = Scale(*(float(np.mean([end(own) for own in each])) for end in (np.min, np.max)))
        value = 2 * (value - scale.low) / max(scale.high - scale.low, math.ulp(0)) - 1
    readings = Readings(
        path.name, names, cell, np.array([row.pulse == 0 for row in rows]),
        np.array([row.direction == "up" for row in rows]), value, scale,
    )  # fmt: skip
    _check_motion(path, readings)
    return readings


@dataclass(frozen=True)
class _Row:
    line: int
    cell: str
    pulse: int
    direction: str
    value: float


def _value_column(path: Path, names: list[str]) -> str:
    fix = "the first line must name the columns cell, pulse, direction, and conductance or weight"
    for name in ("cell", "pulse", "direction"):
        if name not in names:
            raise DataError(str(path), "columns", ", ".join(names), rule=f"{name} is missing", fix=fix)
    given = [name for name in _VALUES if name in names]
    if len(given) != 1:
        rule = "conductance and weight are both there" if given else "conductance is missing"
        raise DataError(str(path), "columns", ", ".join(names), rule=rule, fix=fix)
    return given[0]


def _row(path: Path, line: int, row: dict[str, str | None], column: str) -> _Row:
    where = f"{path}: line {line}"
    cell, pulse, direction, text = ((row[name] or "").strip() for name in ("cell", "pulse", "direction", column))
    if not cell:
        raise DataError(where, "cell", rule="is empty", fix="name the cell that was read")
    if not pulse.isdecimal():
        raise DataError(where, "pulse", pulse, rule="must be a whole number, 0 or above", fix="count pulses")
    try:
        value = float(text)
    except ValueError:
        raise DataError(where, column, text, rule="must be a number", fix="remove rows without a reading") from None
    if not math.isfinite(value):
        raise DataError(where, column, text, rule="must be finite", fix="remove rows without a reading")
    if column == "conductance" and value <= 0:
        raise DataError(where, column, text, rule="must be above 0", fix="give siemens; correct or remove the row")
    if direction not in _DIRECTIONS:
        raise DataError(where, "direction", direction, rule="must be up, down or start", fix="name the pulse's kind")
    if (int(pulse) == 0) != (direction == "start"):
        rule = "start belongs to pulse 0, up and down to later ones"
        raise DataError(where, "direction", direction, rule=rule, fix="begin a trace with a reading before its pulses")
    return _Row(line, cell, int(pulse), direction, value)


def _check_order(path: Path, rows: list[_Row]) -> None:
    last: _Row | None = None
    for row in rows:
        expected = last.pulse + 1 if last is not None and last.cell == row.cell else 0
        if row.pulse not in (0, expected):
            rule = f"must be {expected} or 0, as pulses of cell {row.cell} count without gaps"
            fix = "give a row per pulse, or begin a new trace with pulse 0"
            raise DataError(f"{path}: line {row.line}", "pulse", row.pulse, rule=rule, fix=fix)
        last = row


def _check_motion(path: Path, readings: Readings) -> None:
    pulsed = ~readings.first
    for kind, found in (("up", readings.up[pulsed]), ("down", ~readings.up[pulsed])):
        if not found.any():
            rule = f"there is no {kind} pulse"
            raise DataError(str(path), "direction", rule=rule, fix="measure both directions; a card needs both")
    for number, name in enumerate(readings.cells):
        own = readings.weight[readings.cell == number]
        if own.min() == own.max():
            fix = "leave cells out that no pulse moves"
            raise DataError(str(path), "cell", name, rule="all its readings are equal", fix=fix)
