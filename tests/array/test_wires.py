"""Wires against Kirchhoff's law (SuperLU), the closed form of a ladder, ngspice, reciprocity and conservation."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from circuits import cells, spice_currents, volts
from nodal import solve_nodal
from torch import Tensor

from mep_hw.array.wires import VALID_LOAD, effective_conductance, exact, first_order, lines, wire_load
from mep_hw.cards.array import Wires
from mep_hw.errors import InputError, Notice


def error(found: Tensor, true: Tensor) -> float:
    return float((found - true).norm() / true.norm())


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize("ohm", [0.35, 2.0])
def test_the_elimination_agrees_with_kirchhoff(size: int, ohm: float) -> None:
    held, word = cells(size, size), volts(4, size)
    true = solve_nodal(held, ohm, ohm, word, None)
    assert error(word @ exact(held, ohm, ohm), -true.bit) < 1e-10
    assert true.imbalance < 1e-9


@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (1, 7), (7, 1), (5, 23), (23, 5), (40, 33)])
@pytest.mark.parametrize(("word_ohm", "bit_ohm"), [(0.5, 3.0), (4000.0, 100.0)])
def test_every_entry_in_both_directions(rows: int, cols: int, word_ohm: float, bit_ohm: float) -> None:
    held = cells(rows, cols)
    effective = exact(held, word_ohm, bit_ohm)
    unit_rows, unit_cols = (torch.eye(n, dtype=torch.float64) for n in (rows, cols))
    forward = solve_nodal(held, word_ohm, bit_ohm, unit_rows, None)
    back = solve_nodal(held, word_ohm, bit_ohm, None, unit_cols)
    assert error(effective, -forward.bit) < 1e-8
    assert error(effective.T, -back.word) < 1e-8
    assert error(forward.bit, back.word.T) < 1e-10  # reciprocity
    assert max(forward.imbalance, back.imbalance) < 1e-9


@pytest.mark.parametrize("count", [1, 2, 40, 300])
@pytest.mark.parametrize("load", [1e-5, 1e-2, 3.0, 100.0])
def test_a_single_word_line_is_a_ladder(count: int, load: float) -> None:
    # u_j = cosh((n - j - 1/2) a) / cosh((n + 1/2) a), 4 sinh^2(a/2) = r_w G; each bit line is one more resistor.
    held, bit_ohm = 1e-5, 2000.0
    behind = held / (1 + bit_ohm * held)
    angle = 2 * math.asinh(math.sqrt(load) / 2)
    j = torch.arange(count, dtype=torch.float64)
    ends = (count - j - 0.5) * angle, (count + 0.5) * angle
    ratio = torch.exp(ends[0] - ends[1]) * (1 + torch.exp(-2 * ends[0])) / (1 + math.exp(-2 * ends[1]))
    row = torch.full((1, count), held, dtype=torch.float64)
    assert torch.allclose(exact(row, load / behind, bit_ohm)[0], behind * ratio, rtol=1e-10, atol=0)
    column = exact(row.T, bit_ohm, load / behind)[:, 0]
    assert torch.allclose(column.flip(0), behind * ratio, rtol=1e-10, atol=0)


def test_ngspice_finds_the_same_currents(tmp_path: Path) -> None:
    held, word = cells(32, 32), volts(1, 32)
    found = spice_currents(tmp_path, held, 2.0, 5.0, word[0])
    assert error((word @ exact(held, 2.0, 5.0))[0], found) < 1e-6
    assert error(-solve_nodal(held, 2.0, 5.0, word, None).bit[0], found) < 1e-6
    assert error((word @ held)[0], found) > 1e-2  # the wires matter here


def test_ideal_wires_and_empty_cells() -> None:
    held = cells(9, 6)
    assert torch.equal(effective_conductance(held.float(), Wires()), held.float())
    assert error(exact(held, 3e3, 0.0), lines(held, 3e3, 0.0)) < 1e-12  # either kind alone: lines are exact
    assert error(exact(held, 0.0, 3e3), lines(held, 0.0, 3e3)) < 1e-12
    assert error(exact(held, 3e3, 0.0), -solve_nodal(held, 3e3, 1e-6, torch.eye(9), None).bit) < 1e-8
    held[2] = 0
    held[:, 4] = 0
    effective = exact(held, 1e3, 1e3)
    assert float(effective[2].abs().max()) == float(effective[:, 4].abs().max()) == 0.0
    assert error(effective, -solve_nodal(held, 1e3, 1e3, torch.eye(9), None).bit) < 1e-8


def test_a_stack_of_arrays_is_solved_like_each() -> None:
    stack = torch.stack([cells(8, 12, seed) for seed in range(6)]).reshape(2, 3, 8, 12)
    for method in (exact, lines, first_order):
        together = method(stack, 300.0, 500.0)
        alone = torch.stack([method(held, 300.0, 500.0) for held in stack.reshape(6, 8, 12)])
        assert torch.allclose(together.reshape(6, 8, 12), alone, rtol=1e-12, atol=0)


def test_approximations_are_of_second_order() -> None:
    held = cells(24, 16)
    for method in (first_order, lines):
        errors = [error(method(held, r, 2 * r), exact(held, r, 2 * r)) for r in (0.5, 1.0)]
        assert errors[1] / errors[0] == pytest.approx(4, rel=0.05)
    assert error(lines(held, 1.0, 2.0), exact(held, 1.0, 2.0)) < 0.5 * error(
        first_order(held, 1.0, 2.0), exact(held, 1.0, 2.0)
    )


@pytest.mark.parametrize("solution", ["lines", "first_order"])
@pytest.mark.parametrize(("rows", "cols"), [(64, 64), (96, 32), (16, 100)])
def test_the_valid_range_is_one_per_cent_and_beyond_it_warns(solution: str, rows: int, cols: int) -> None:
    valid = VALID_LOAD[solution]
    for held in (cells(rows, cols), torch.full((rows, cols), 25e-6, dtype=torch.float64)):
        edge = 0.99 * valid / wire_load(held, 1.0, 1.0)
        inside = effective_conductance(held, Wires(word_ohm=edge, bit_ohm=edge, solution=solution))
        assert error(inside, exact(held, edge, edge)) < 0.01
    with pytest.warns(Notice, match=rf"solution = {solution}: the load \(wire_load\) is above {valid:g}, where"):
        effective_conductance(held, Wires(word_ohm=1.1 * edge, bit_ohm=1.1 * edge, solution=solution))


BAD = [
    (lambda: effective_conductance(-cells(2, 3), Wires()), "array: conductance = -"),
    (lambda: effective_conductance(cells(2, 3) * math.inf, Wires()), "array: conductance = inf: must be finite"),
    (lambda: effective_conductance(cells(2, 3)[0], Wires()), "array: conductance shape = (3,): must be (rows, cols)"),
    (lambda: exact(cells(2, 3), 1.0, -2.0), "wires: bit_ohm = -2.0: must be finite and not negative"),
    (lambda: lines(cells(2, 3), math.nan, 1.0), "wires: word_ohm = nan: must be finite and not negative"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_impossible_circuits_are_refused(call, message: str) -> None:
    with pytest.raises(InputError) as caught:
        call()
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)
