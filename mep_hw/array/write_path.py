"""The share of a write voltage that reaches a cell along resistive lines, and what it makes of the cell's steps.

One cell is selected by the V/2 scheme: +V/2 at its word-line terminal, -V/2 at its bit-line terminal, all other
terminals at ground. Along its word line the cells of the line draw current towards bit lines taken at ground, save the
selected one, whose bit line is at v; so with Z = (L + r_w D)^-1 of the line (see `wires`), in units of V/2,

    u = Z_j0 + a v,   a = r_w G Z_jj          and likewise          v = -Z'_i0 + b u,   b = r_b G Z'_ii

    share = (u - v) / 2 = (Z_j0 (1 - b) + Z'_i0 (1 - a)) / (2 (1 - a b))

This is exact where one kind of wire is ideal, and right to first order in both resistances: it leaves out that the
other lines are lifted from ground. Steps are multiplied by share^exponent; 1 is a step in proportion to the voltage.
Real cells are steeper, and no bundled device says how steep.

It is the least drop that there is. Several cells selected at once, as in row writes and outer products, draw more
current from shared lines. Not valid for arrays with selectors, whose other cells draw none.
"""

from __future__ import annotations

from torch import Tensor

from mep_hw.array.wires import along


def written_share(cells: Tensor, word_ohm: float, bit_ohm: float) -> Tensor:
    """V_ij / V for each cell (..., rows, cols) selected alone, from conductances in siemens (float64)."""
    word, at_word = along(word_ohm * cells)
    turned = (bit_ohm * cells).mT.flip(-1)  # bit lines begin at the last row
    bit, at_bit = (value.flip(-1).mT for value in along(turned))
    a, b = word_ohm * cells * at_word, bit_ohm * cells * at_bit
    return (word * (1 - b) + bit * (1 - a)) / (2 * (1 - a * b))
