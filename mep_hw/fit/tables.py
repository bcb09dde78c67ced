"""Jump tables from raw pulses, and cards for jump tables.

A row of a table is the distribution of the change at one conductance. From raw pulses it is the weighted share of
changes up to each column, where a pulse at conductance G counts for the two rows next to it as linear interpolation
would have it. There are as many rows, at most 40, as leave each with 20 pulses (the effective number, (sum w)^2 /
sum w^2) in both directions; columns are 200 equal steps over the changes seen. Weights -1 to 1 are the conductances
seen, or those that both given tables hold. The form of the files is in `mep_hw.cells.table`.

Not valid where noise of reading is not small against the changes: a table takes it for jumps, and those do not average
out. A table also takes cells that differ for one cell that varies from pulse to pulse.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mep_hw.cards import DeviceCard
from mep_hw.cells.table import PARTS, JumpTable, read_table
from mep_hw.errors import DataError
from mep_hw.fit.cards import Origin, base_card, validated
from mep_hw.fit.readings import Floats, Readings, Scale, read_pulses

_ROWS, _FEWEST_ROWS, _FEWEST = 40, 3, 20
_COLUMNS = 201
_QUANTILE = 0.01


@dataclass(frozen=True)
class Jumped:
    """One direction of raw pulses, in siemens, each (pulses,)."""

    before: Floats
    change: Floats


@dataclass(frozen=True)
class Tabled:
    """A card for jump tables, the tables by direction, the raw pulses by direction (None: tables were given), the files
    that belong beside the card, and a report with `family`, `source`, `cells`, `pulses` and `tables`."""

    card: DeviceCard
    tables: dict[str, JumpTable]
    jumps: dict[str, Jumped] | None
    files: dict[str, bytes]
    report: dict[str, Any]


def table_card(
    source: str | Path, name: str, up: str | None = None, down: str | None = None, *, simulated: bool = False
) -> Tabled:
    """A card of the family table.

    Args:
        source: a CSV file of pulses with conductances, or a folder of tables.
        name: of the card.
        up: in a folder, the stem of the files for up pulses, such as 1.5V_set.
        down: the same for down pulses.
        simulated: as for `fit_card`.

    Raises:
        DataError: a file breaks the rules, the pulses are too few, or stems are missing or have no meaning.
        CardError: the name is not one that a card can have.
    """
    path = Path(source)
    if path.is_dir():
        if up is None or down is None:
            rule = "must be given for a folder of tables"
            raise DataError("fit", "up and down", rule=rule, fix="name the stems of the files, such as 1.5V_set")
        stems, jumps, cells = {"up": up, "down": down}, None, None
        tables = {kind: read_table(path, stem) for kind, stem in stems.items()}
        files = {f"{stem}_{part}.txt": (path / f"{stem}_{part}.txt").read_bytes()
                 for stem in stems.values() for part in PARTS}  # fmt: skip
        low = max(float(table.conductances[0]) for table in tables.values())
        high = min(float(table.conductances[-1]) for table in tables.values())
        if low >= high:
            raise DataError(
                str(path), "axis_level_G", rule="both tables must overlap", fix="name two of one kind of cell"
            )
    else:
        if up is not None or down is not None:
            raise DataError("fit", "up and down", rule="belong to a folder of tables", fix="leave them out for pulses")
        readings = read_pulses(path)
        if readings.scale is None:
            fix = "give a column conductance in siemens"
            raise DataError(str(path), "weight", rule="a table needs conductances", fix=fix)
        low, high = (float(readings.scale.conductance(end)) for end in (readings.weight.min(), readings.weight.max()))
        cells = len(readings.cells)
        jumps = _jumps(readings, readings.scale)
        tables, stems = _tables(readings.source, jumps), {"up": "up", "down": "down"}
        files = {name: content for kind, table in tables.items() for name, content in _files(kind, table).items()}
    count = None if jumps is None else sum(len(jump.change) for jump in jumps.values())
    origin = Origin(path, "table", cells, count, simulated)
    rows = [_row(kind, table, (low + high) / 2) for kind, table in tables.items()]
    step = float(np.mean([abs(row["mean_change"]) for row in rows])) * 2 / (high - low)
    data = base_card(name, origin, f"Jump table of {path.name}")
    data["response"] = {"family": "table", "folder": ".", **stems}
    data["w_min"], data["w_max"] = (
        {"value": value, "unit": "weight", "source": f"definition: the {end} conductance of {path.name}"}
        for value, end in ((-1.0, "lowest"), (1.0, "highest"))
    )
    middle = f"{origin.text}; mean size of both directions' mean changes at the middle conductance"
    data["dw_min"] = {"value": float(f"{step:.6g}"), "unit": "weight", "source": middle}
    for field, siemens in (("g_min", low), ("g_max", high)):
        data["electrical"][field] = {"value": float(f"{siemens:.6g}"), "unit": "S", "source": origin.text}
    report = {"family": "table", "source": path.name, "cells": cells, "pulses": count, "tables": rows}
    return Tabled(validated(name, data), tables, jumps, files, report)


def _jumps(readings: Readings, scale: Scale) -> dict[str, Jumped]:
    conductance = np.asarray(scale.conductance(readings.weight))
    this = np.flatnonzero(~readings.first)
    before, change = conductance[this - 1], conductance[this] - conductance[this - 1]
    up = readings.up[this]
    return {"up": Jumped(before[up], change[up]), "down": Jumped(before[~up], change[~up])}


def _tables(source: str, jumps: dict[str, Jumped]) -> dict[str, JumpTable]:
    for rows in range(_ROWS, _FEWEST_ROWS - 1, -1):
        weights = {kind: _weights(jump.before, rows) for kind, jump in jumps.items()}
        if all(fewest >= _FEWEST for _, _, fewest in weights.values()):
            return {kind: _table(jumps[kind].change, *weights[kind][:2]) for kind in jumps}
    rule = f"must hold {_FEWEST} pulses of each direction near each of {_FEWEST_ROWS} conductances"
    raise DataError(source, "pulses", sum(len(jump.change) for jump in jumps.values()), rule=rule, fix="measure more")


def _weights(before: Floats, rows: int) -> tuple[Floats, Floats, float]:
    """Conductances of the rows, how much each pulse counts for each row (rows, pulses), and the fewest in a row."""
    low, high = np.quantile(before, (_QUANTILE, 1 - _QUANTILE))
    if high <= low:
        return np.zeros(rows), np.zeros((rows, len(before))), 0.0
    grid = np.linspace(low, high, rows)
    place = np.clip((before - low) / (high - low) * (rows - 1), 0, rows - 1)  # ends count for the nearest row
    weight = np.maximum(0, 1 - np.abs(place - np.arange(rows)[:, None]))
    total, square = weight.sum(axis=1), (weight**2).sum(axis=1)
    return grid, weight, float((total**2 / np.maximum(square, 1e-300)).min())


def _table(change: Floats, grid: Floats, weight: Floats) -> JumpTable:
    span = float(change.max() - change.min()) or float(abs(change).max())
    pad = span / (_COLUMNS - 3)  # one column on each side, so that rows begin at 0 and end at 1
    columns = np.linspace(change.min() - pad, change.max() + pad, _COLUMNS)
    order = np.argsort(change)
    running = np.concatenate([np.zeros((len(grid), 1)), np.cumsum(weight[:, order], axis=1)], axis=1)
    cumulative = running[:, np.searchsorted(change[order], columns, side="right")] / running[:, -1:]
    return JumpTable(grid, columns, np.clip(cumulative, 0, 1))


def _files(stem: str, table: JumpTable) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for part, values in zip(PARTS, (table.conductances, table.changes, table.cumulative), strict=True):
        text = io.StringIO()
        np.savetxt(text, values, fmt="%.9g")
        files[f"{stem}_{part}.txt"] = text.getvalue().encode()
    return files


def quantile(table: JumpTable, share: float) -> Floats:
    """The change in siemens that this share of pulses does not exceed, at each conductance, (rows,)."""
    return np.array([np.interp(share, row, table.changes) for row in table.cumulative])


def _row(kind: str, table: JumpTable, middle: float) -> dict[str, Any]:
    """Size of a table, and the moments of the change at one conductance in siemens."""
    row = np.array([np.interp(middle, table.conductances, column) for column in table.cumulative.T])
    # What lies beyond the axis counts at its ends, as it is drawn.
    share = np.diff(row, prepend=0, append=1)
    at = np.concatenate([table.changes[:1], (table.changes[1:] + table.changes[:-1]) / 2, table.changes[-1:]])
    mean = float((share * at).sum())
    sd = float(np.sqrt((share * (at - mean) ** 2).sum()))
    rows, columns = table.cumulative.shape
    return {"direction": kind, "rows": rows, "columns": columns, "conductance": middle, "mean_change": mean,
            "sd_change": sd}  # fmt: skip
