"""Jump tables: the change of conductance by one pulse, drawn from measured distributions.

For each direction there is a table of P(dG <= d | G) on a grid of conductances G (rows) and changes d (columns).
Between two rows the distribution is the weighted mean of both, drawn exactly by choosing one of them with its weight;
between two columns the cumulative probability is linear. The inverse transform d = P^-1(u) is one `searchsorted` for
all cells: row r is stored as r + P, which makes all rows one ascending list.

    NAME_axis_level_G.txt   conductances in siemens, one a line, equally spaced
    NAME_axis_level_dG.txt  changes in siemens, one a line, ascending
    NAME_cdf.txt            one row per conductance, ascending from about 0 to about 1

Sidler et al. (2016), Large-scale neural networks implemented with non-volatile memory: impact of conductance response
("jump table"); files of this form come with XBTorch (arXiv 2601.07086).

Not valid for: cells that differ from each other (a table holds the spread of all measured cells as if each pulse drew
it anew), other voltages, and conductances outside the grid, which use its nearest row.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mep_hw.cards.response import Table
from mep_hw.cells.pulses import Cell, PulseResponse
from mep_hw.errors import DataError

PARTS = ("axis_level_G", "axis_level_dG", "cdf")  # how the three files of a table end
_SLACK = 0.05  # by which a row may miss 0 at its first or 1 at its last column: measured tails end at the grid


@dataclass(frozen=True)
class JumpTable:
    """One direction: `conductances` (rows,) and `changes` (columns,) in siemens, `cumulative` (rows, columns)."""

    conductances: NDArray[np.float64]
    changes: NDArray[np.float64]
    cumulative: NDArray[np.float64]


def read_table(folder: Path, name: str) -> JumpTable:
    """The table whose three files begin with `name`.

    Raises:
        DataError: a file is missing or is no table of numbers, shapes do not fit, or an axis or a row does not ascend.
    """
    g, change, cumulative = (_numbers(folder / f"{name}_{part}.txt") for part in PARTS)
    where = str(folder / f"{name}_cdf.txt")
    fix = "give one row per conductance and one column per change"
    if g.ndim != 1 or change.ndim != 1 or min(len(g), len(change)) < 2:
        raise DataError(
            where, "axes", f"{g.shape}, {change.shape}", rule="must be lists of at least 2 numbers", fix=fix
        )
    if cumulative.shape != (len(g), len(change)):
        rule = f"must be {len(g)} x {len(change)}, as its axes say"
        raise DataError(where, "shape", cumulative.shape, rule=rule, fix=fix)
    spacing = np.diff(g)
    if spacing[0] <= 0 or not np.allclose(spacing, spacing[0], rtol=1e-3, atol=0):
        raise DataError(where, "axis_level_G", rule="must ascend in equal steps", fix="resample the table")
    if (np.diff(change) <= 0).any():
        raise DataError(where, "axis_level_dG", rule="must ascend", fix="sort the columns")
    if (np.diff(cumulative, axis=1) < 0).any() or cumulative.min() < 0 or cumulative.max() > 1:
        raise DataError(where, rule="rows must ascend from 0 to 1", fix="give cumulative probabilities, not densities")
    if cumulative[:, 0].max() > _SLACK or cumulative[:, -1].min() < 1 - _SLACK:
        rule = f"rows must begin below {_SLACK:g} and end above {1 - _SLACK:g}"
        raise DataError(where, rule=rule, fix="widen the axis of changes")
    return JumpTable(g, change, cumulative)


def data_folder(response: Table, card: Path | None) -> Path:
    """The folder of a card's tables; `card` is the file of the card, None for one made in Python.

    Raises:
        DataError: the folder does not exist, or is relative and what it is relative to is not known.
    """
    path = Path(response.folder).expanduser()
    if response.folder == "." or response.folder.startswith("./"):
        if card is None:
            rule, fix = "lies beside the card, and this card was made in Python", "give an absolute path"
            raise DataError("response", "folder", response.folder, rule=rule, fix=fix)
        path = card.parent / path
    elif not path.is_absolute():
        root = os.environ.get("MEP_HW_DATA")
        if root is None:
            fix = "set MEP_HW_DATA to the folder that holds it, or give an absolute path in the card"
            raise DataError("response", "folder", response.folder, rule="lies in the folder MEP_HW_DATA names", fix=fix)
        path = Path(root).expanduser() / path
    if not path.is_dir():
        raise DataError("response", "folder", path, rule="is not a folder", fix="correct the card or MEP_HW_DATA")
    return path


class Jumps(PulseResponse):
    """Cells that follow one jump table per direction; weight = w_min + (G - g_min) per_siemens."""

    def __init__(
        self, up: JumpTable, down: JumpTable, w_min: float, g_min: float, per_siemens: float, torch_device: torch.device
    ) -> None:
        self.w_min, self.g_min, self.per_siemens = w_min, g_min, per_siemens
        self._up, self._down = _Sampler(up, torch_device), _Sampler(down, torch_device)

    def one(self, weight: Tensor, up: bool, cell: Cell, generator: torch.Generator) -> Tensor:
        change = (self._up if up else self._down).draw(self._conductance(weight), generator)
        return weight + (change * self.per_siemens).to(weight.dtype)

    def mean(self, weight: Tensor, up: bool, cell: Cell) -> Tensor:
        change = (self._up if up else self._down).mean(self._conductance(weight))
        return (change * self.per_siemens).to(weight.dtype)

    def _conductance(self, weight: Tensor) -> Tensor:
        # double: neighbouring rows of the list differ by less than float32 can hold
        return self.g_min + (weight.double() - self.w_min) / self.per_siemens

    def part(self, cells: Tensor) -> Jumps:
        return self  # all cells follow the same tables


class _Sampler:
    def __init__(self, table: JumpTable, torch_device: torch.device) -> None:
        self.first, self.spacing = float(table.conductances[0]), float(np.diff(table.conductances).mean())
        self.rows, self.columns = table.cumulative.shape
        self.changes = torch.as_tensor(table.changes, device=torch_device)
        self.cumulative = torch.as_tensor(table.cumulative, device=torch_device)
        steps = torch.arange(self.rows, dtype=torch.float64, device=torch_device)[:, None]
        self.ascending = (self.cumulative + steps).flatten()
        # Of draws below the first column the change is that of the first, above the last that of the last.
        share = torch.diff(self.cumulative).mul((self.changes[1:] + self.changes[:-1]) / 2).sum(1)
        first, last = self.cumulative[:, 0] * self.changes[0], (1 - self.cumulative[:, -1]) * self.changes[-1]
        self.means = share + first + last

    def mean(self, conductance: Tensor) -> Tensor:
        """Mean change in siemens at each conductance, (cells,) double."""
        place = self._place(conductance)
        row = place.long().clamp(max=self.rows - 2)
        return torch.lerp(self.means[row], self.means[row + 1], place - row)

    def draw(self, conductance: Tensor, generator: torch.Generator) -> Tensor:
        """Changes in siemens, one per conductance, (cells,) double."""
        u, choose = torch.rand(
            2, len(conductance), generator=generator, dtype=torch.float64, device=conductance.device
        ).unbind()
        row = (
            (self._place(conductance) + choose).floor().long().clamp(max=self.rows - 1)
        )  # the upper of two with its weight
        begin = row * self.columns
        right = torch.searchsorted(self.ascending, row + u).clamp(begin, begin + self.columns - 1)
        left = (right - 1).clamp(min=begin)
        low, high = self.cumulative.view(-1)[left], self.cumulative.view(-1)[right]
        share = ((u - low) / (high - low).clamp(min=1e-300)).clamp(0, 1)
        a, b = self.changes[left - begin], self.changes[right - begin]
        return a + (b - a) * share

    def _place(self, conductance: Tensor) -> Tensor:
        """Where a conductance is on the axis of row numbers."""
        return ((conductance - self.first) / self.spacing).clamp(0, self.rows - 1)


def _numbers(path: Path) -> NDArray[np.float64]:
    try:
        values = np.loadtxt(path, dtype=np.float64)
    except OSError as error:
        raise DataError(str(path), rule=f"cannot be read: {error.strerror}", fix="complete the three files") from None
    except ValueError as error:
        raise DataError(str(path), rule=f"is not a table of numbers ({error})", fix="mend the file") from None
    if not np.isfinite(values).all():
        raise DataError(str(path), rule="must hold finite numbers only", fix="remove rows without a measurement")
    return values
