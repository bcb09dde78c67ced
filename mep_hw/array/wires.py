"""The effective conductance of an array with resistive wires: what its terminals see in place of its cells.

Linear cells and wires make a linear map, I = G_eff^T V, so the circuit is solved once per change of the cells and every
read is one matrix product. The same terminals serve both directions, so by reciprocity a transposed read is G_eff V'.

Exact: with the unit Laplacian L of a chain that is held at its first end, row i of word-line voltages is
u_i = Z_i (e_0 V_i + r_w D_i v_i), Z_i = (L + r_w D_i)^-1, D_i = diag(G_i). What is left couples rows of bit-line
voltages, a block tridiagonal system

    M_i v_i - v_{i-1} - v_{i+1} = r_b D_i Z_i e_0 V_i,      M_i = 2 + r_b (D_i - r_w D_i Z_i D_i),

M_0 less 1, eliminated from the open end of the bit lines; the currents below the last row follow by the adjoint
recursion, two dense operations on (n, n) per line, n the smaller side. Resistances and not conductances of wires
appear, so ideal wires need no special case. Derivation and error map: docs/wires.md. Not valid for cells whose
resistance depends on the voltage (selectors), nor before lines have charged.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from mep_hw.array.check import check_conductance, check_resistance
from mep_hw.cards.array import Wires
from mep_hw.errors import Notice

# The load up to which the error stays below 1 % of the norm of G_eff; it is largest where all cells conduct alike.
VALID_LOAD = {"first_order": 0.1, "lines": 0.3}


def effective_conductance(conductance: Tensor, wires: Wires) -> Tensor:
    """G_eff for cells (..., rows, cols) in siemens, same shape, type and place; computed in float64.

    An approximation outside of its valid range warns with a `Notice`.

    Raises:
        InputError: a negative or infinite conductance.
    """
    check_conductance(conductance)
    if not wires.resistive:
        return conductance.detach().clone()
    cells = conductance.detach().double()
    if wires.solution == "exact":
        return exact(cells, wires.word_ohm, wires.bit_ohm).to(conductance.dtype)
    valid = VALID_LOAD[wires.solution]
    if wire_load(cells, wires.word_ohm, wires.bit_ohm) > valid:
        warnings.warn(  # without the load itself: the same words are told once, however often cells change
            f"wires: solution = {wires.solution}: the load (wire_load) is above {valid:g}, where the error passes 1 %; "
            "use solution exact, smaller arrays or cells of higher resistance",
            Notice, stacklevel=2,
        )  # fmt: skip
    approximate = lines if wires.solution == "lines" else first_order
    return approximate(cells, wires.word_ohm, wires.bit_ohm).to(conductance.dtype)


def exact(cells: Tensor, word_ohm: float, bit_ohm: float) -> Tensor:
    """G_eff by elimination line by line; (..., rows, cols), float64."""
    _check(word_ohm, bit_ohm)
    rows, cols = cells.shape[-2:]
    if cols > rows:  # a block has the size of a word line: exchange the sides where that makes it smaller
        turned = exact(cells.mT.flip(-1, -2), bit_ohm, word_ohm)
        return turned.flip(-1, -2).mT
    diagonal, logs = _chain(word_ohm * cells)
    drive = cells * diagonal * torch.exp(logs[..., :1] - logs)  # D Z e_0
    identity = torch.eye(cols, dtype=cells.dtype, device=cells.device)
    carry = torch.zeros_like(identity)
    inverses: list[Tensor] = []
    for i in range(rows):
        block = (1.0 if i == 0 else 2.0) * identity - carry
        block = block + bit_ohm * _seen_from_bit_lines(cells[..., i, :], diagonal[..., i, :], logs[..., i, :], word_ohm)
        carry = torch.cholesky_inverse(torch.linalg.cholesky(block))
        inverses.append(carry)
    found = torch.empty_like(cells)
    to_terminals = identity
    for i in reversed(range(rows)):
        to_terminals = to_terminals @ inverses[i]
        found[..., i, :] = (to_terminals @ drive[..., i, :, None]).squeeze(-1)
    return found


def first_order(cells: Tensor, word_ohm: float, bit_ohm: float) -> Tensor:
    """G_eff to first order in the resistances, G (1 - a_w - a_b), where a is the drop along a line of ideal current."""
    _check(word_ohm, bit_ohm)
    word, bit = _drops(cells, word_ohm, bit_ohm)
    return cells * (1 - word - bit)


def lines(cells: Tensor, word_ohm: float, bit_ohm: float) -> Tensor:
    """G_eff = G u t: u the voltage along each word line with bit lines at ground, t the same for bit lines.

    Exact where one kind of wire is ideal, and to first order in both; it leaves out that one drop lowers the other.
    """
    _check(word_ohm, bit_ohm)
    return cells * along(word_ohm * cells)[0] * along((bit_ohm * cells).mT.flip(-1))[0].flip(-1).mT


def along(load: Tensor) -> tuple[Tensor, Tensor]:
    """Voltage along chains of cells to ground, held at 1 one segment before their first, Z e_0, and the diagonal of Z.

    load: resistance of a segment times conductance, (..., n); both results have its shape.
    """
    diagonal, logs = _chain(load)
    return diagonal * torch.exp(logs[..., :1] - logs), diagonal


def wire_load(cells: Tensor, word_ohm: float, bit_ohm: float) -> float:
    """The largest share of a cell's voltage that is lost to first order, all lines driven alike; no unit."""
    word, bit = _drops(cells, word_ohm, bit_ohm)
    return float((word + bit).max())


def _check(word_ohm: float, bit_ohm: float) -> None:
    check_resistance("word_ohm", word_ohm)
    check_resistance("bit_ohm", bit_ohm)


def _drops(cells: Tensor, word_ohm: float, bit_ohm: float) -> tuple[Tensor, Tensor]:
    """Relative drops, r_w sum_k G_ik (1 + min(j, k)) and r_b sum_k G_kj (rows - max(i, k)); each (..., rows, cols)."""
    rows, cols = cells.shape[-2:]
    j = torch.arange(1, cols + 1, dtype=cells.dtype, device=cells.device)
    i = torch.arange(rows, 0, -1, dtype=cells.dtype, device=cells.device)
    return word_ohm * cells @ torch.minimum(j[:, None], j), bit_ohm * torch.minimum(i[:, None], i) @ cells


def _chain(load: Tensor) -> tuple[Tensor, Tensor]:
    """Z = (L + diag(load))^-1 of a chain held at its first end, as its diagonal and logs l: Z_ab = Z_bb e^(l_a - l_b),
    a <= b. Both (..., n), like `load`. The logs are sums of pivots, which themselves would overflow."""
    n = load.shape[-1]
    full = load + 2.0
    full[..., -1] -= 1.0  # the open end has one neighbour only
    ahead, behind = full.clone(), full.clone()
    for k in range(1, n):
        ahead[..., k] -= 1 / ahead[..., k - 1]
        behind[..., n - 1 - k] -= 1 / behind[..., n - k]
    logs = ahead.log().cumsum(-1)
    logs = torch.cat([torch.zeros_like(logs[..., :1]), logs[..., :-1]], dim=-1)
    return 1 / (ahead + behind - full), logs


def _seen_from_bit_lines(cells: Tensor, diagonal: Tensor, logs: Tensor, word_ohm: float) -> Tensor:
    """D - r_w D Z D of one word line (..., n): the conductance that bit lines see towards it; (..., n, n).

    Only the lower triangle is right, as the Cholesky factor needs no other.
    """
    lower = (cells * diagonal)[..., :, None] * torch.exp((logs[..., None, :] - logs[..., :, None]).clamp_max_(0))
    return torch.diag_embed(cells) - (word_ohm * lower).mul_(cells[..., None, :])
