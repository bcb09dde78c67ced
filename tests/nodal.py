"""Currents of a crossbar with wires, from Kirchhoff's current law at every node: the slow form, for checks.

Word line i crosses bit line j at two nodes, joined by the cell G_ij. Word line i begins at its terminal, one segment
before column 0, and ends open at the last column; bit line j begins open at row 0 and ends at its terminal, one segment
below the last row. Terminals are held at given voltages, so that one function serves both directions of reading. The
2 * rows * cols equations are symmetric and positive definite and are solved by SuperLU (scipy).

Valid for ohmic cells in the steady state. Ideal wires have infinite conductance; `mep_hw.array.wires` has
them. Time grows faster than the number of cells: 0.2 s at 128 x 128 and seconds at 256 x 256 on one core.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csc_matrix
from scipy.sparse.linalg import splu
from torch import Tensor

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Currents:
    """Currents in ampere from the terminals of word lines (batch, rows) and of bit lines (batch, cols) into the array,
    and the voltage across each cell, word line less bit line, (batch, rows, cols).

    A forward read senses `-bit`, a transposed one `-word`.
    """

    word: Tensor
    bit: Tensor
    volt: Tensor

    @property
    def imbalance(self) -> float:
        """Largest share of a sample's current that is not conserved: |sum over all terminals| / sum of magnitudes."""
        both = torch.cat([self.word, self.bit], dim=1)
        return float((both.sum(dim=1).abs() / both.abs().sum(dim=1).clamp_min(torch.finfo(both.dtype).tiny)).max())


def solve_nodal(
    conductance: Tensor, word_ohm: float, bit_ohm: float, word_volt: Tensor | None, bit_volt: Tensor | None
) -> Currents:
    """Currents at all terminals, in float64.

    Args:
        conductance: of the cells, (rows, cols) in siemens.
        word_ohm: resistance of a segment of a word line, in ohm, above 0.
        bit_ohm: the same for bit lines.
        word_volt: voltages at the terminals of the word lines, (batch, rows); None: all are grounded.
        bit_volt: voltages at the terminals of the bit lines, (batch, cols); None: all are grounded.
    """
    given = word_volt if word_volt is not None else bit_volt
    assert given is not None and word_ohm > 0 and bit_ohm > 0
    rows, cols = conductance.shape
    word = given.new_zeros(len(given), rows) if word_volt is None else word_volt
    bit = given.new_zeros(len(given), cols) if bit_volt is None else bit_volt
    word_v, bit_v = (value.detach().cpu().double().numpy() for value in (word, bit))

    first = np.arange(rows) * cols  # word-line nodes of column 0
    last = rows * cols + (rows - 1) * cols + np.arange(cols)  # bit-line nodes of the last row
    sources: Array = np.zeros((2 * rows * cols, len(word_v)))
    sources[first] = word_v.T / word_ohm
    sources[last] = bit_v.T / bit_ohm
    matrix = _admittance(conductance.detach().cpu().double().numpy(), 1 / word_ohm, 1 / bit_ohm)
    options = {"SymmetricMode": True}  # keeps the fill-in of the symmetric order; pivots lie on the diagonal
    factors = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)
    volt: Array = factors.solve(sources)
    into_word, into_bit = (word_v - volt[first].T) / word_ohm, (bit_v - volt[last].T) / bit_ohm
    across = (volt[: rows * cols] - volt[rows * cols :]).T.reshape(-1, rows, cols)
    return Currents(torch.from_numpy(into_word), torch.from_numpy(into_bit), torch.from_numpy(across))


def _admittance(cells: Array, word: float, bit: float) -> csc_matrix:
    """Sum of the conductances at each node on the diagonal, minus the one between two nodes beside it."""
    rows, cols = cells.shape
    upper = np.arange(rows * cols).reshape(rows, cols)  # on word lines
    lower = upper + rows * cols  # on bit lines
    begin = np.concatenate([upper.ravel(), upper[:, :-1].ravel(), lower[:-1].ravel()])
    end = np.concatenate([lower.ravel(), upper[:, 1:].ravel(), lower[1:].ravel()])
    value = np.concatenate([cells.ravel(), np.full(rows * (cols - 1), word), np.full((rows - 1) * cols, bit)])
    grounded = np.concatenate([upper[:, 0], lower[-1]])  # through the segment to the terminal
    segments = np.concatenate([np.full(rows, word), np.full(cols, bit)])
    i = np.concatenate([begin, end, begin, end, grounded])
    j = np.concatenate([end, begin, begin, end, grounded])
    return csc_matrix(coo_matrix((np.concatenate([-value, -value, value, value, segments]), (i, j))))
