"""Tiles: what they compute without errors, with wires against Kirchhoff's law, and with noise against every cell's."""

from __future__ import annotations

import math
import warnings
from typing import Any, Literal

import pytest
import torch
from circuits import volts
from nodal import solve_nodal
from scipy import stats
from torch import Tensor

from mep_hw.array.converters import FREE, NEGATIVE, POSITIVE
from mep_hw.array.mapping import Mapping
from mep_hw.array.tile import Tile
from mep_hw.array.tiled import Tiled
from mep_hw.cards.array import ArrayOptions
from mep_hw.errors import InputError, Notice

Pairing = Literal["differential", "reference"]
PAIRINGS: tuple[Pairing, ...] = ("differential", "reference")
F64 = torch.float64


def options(rows: int = 16, cols: int = 16, **others: Any) -> ArrayOptions:
    return ArrayOptions.model_validate({"rows": rows, "cols": cols} | others)


def mapping(pairing: Pairing = "differential") -> Mapping:
    return Mapping(1e-6, 25e-6, 1.0, pairing)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def weights(out: int, inputs: int) -> Tensor:
    return (0.3 * normal(out, inputs)).clamp(-1, 1)


def tiled(held: Tensor, pairing: Pairing = "differential", seed: int = 1, **others: Any) -> Tiled:
    generator = torch.Generator().manual_seed(seed)
    return Tiled(options(pairing=pairing, **others), mapping(pairing), held, generator, F64)


def program(coupling: Tiled, held: Tensor, solve: bool = True) -> None:
    """Other weights (out, in) on the same arrays, as exactly as the mapping goes."""
    for tiles, band in zip(coupling.grid, held.T.split(coupling.rows), strict=True):
        for tile, part in zip(tiles, band.split(coupling.cols, 1), strict=True):
            tile.hold(coupling.mapping.to_cells(part), solve)


def error(found: Tensor, true: Tensor) -> float:
    return float((found - true).norm() / true.norm())


@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize(("out", "inputs"), [(1, 1), (6, 8), (20, 33), (5, 40), (31, 3)])
def test_without_errors_it_is_the_matrix_product(pairing: Pairing, out: int, inputs: int) -> None:
    held = weights(out, inputs)
    coupling = tiled(held, pairing, rows=9, cols=7)
    x, y = normal(4, inputs, seed=1), normal(4, out, seed=2)
    assert error(coupling.product(x), x @ held.T) < 1e-12
    assert error(coupling.product_transposed(y), y @ held) < 1e-12
    program(coupling, -held)
    assert error(coupling.product(x), -x @ held.T) < 1e-12


def test_arrays_are_as_large_as_allowed_and_alike() -> None:
    coupling = tiled(weights(20, 33), rows=9, cols=7)
    assert (coupling.rows, coupling.cols) == ((9, 8, 8, 8), (7, 7, 6))
    assert tiled(weights(8, 8), "reference", rows=9, cols=9).grid[0][0].cells.shape == (1, 9, 9)
    assert len(tiled(weights(9, 9), "reference", rows=9, cols=9).grid) == 2


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_wires_act_as_the_circuit_says(pairing: Pairing) -> None:
    wires = {"word_ohm": 200.0, "bit_ohm": 500.0}
    made, m = options(wires=wires, pairing=pairing), mapping(pairing)
    cells = m.to_cells(weights(10, 12).T)
    tile = Tile(made, m, cells, torch.Generator(), F64)
    x, y = volts(3, 12), volts(3, 10)
    if pairing == "differential":
        sensed = [solve_nodal(array, 200.0, 500.0, x, None).bit for array in cells]
        forward = (sensed[1] - sensed[0]) / m.siemens_per_weight
        sensed = [solve_nodal(array, 200.0, 500.0, None, y).word for array in cells]
        back = (sensed[1] - sensed[0]) / m.siemens_per_weight
    else:  # the reference lines are grounded, or sensed and subtracted
        ground = torch.zeros(3, 1, dtype=F64)
        bit = solve_nodal(cells[0], 200.0, 500.0, torch.cat([x, ground], 1), None).bit
        word = solve_nodal(cells[0], 200.0, 500.0, None, torch.cat([y, ground], 1)).word
        forward = (bit[:, -1:] - bit[:, :-1]) / m.siemens_per_weight
        back = (word[:, -1:] - word[:, :-1]) / m.siemens_per_weight
    assert error(tile.product(x), forward) < 1e-8
    assert error(tile.product_transposed(y), back) < 1e-8
    one, other = tile.product(torch.eye(12, dtype=F64)), tile.product_transposed(torch.eye(10, dtype=F64))
    assert error(one, weights(10, 12).T) > 1e-2
    if pairing == "differential":
        assert error(one, other.T) < 1e-12  # reciprocity holds for each array of the pair
    else:
        assert error(one, other.T) > 1e-2  # the two reference lines are not each other's transpose


def test_wires_that_are_not_solved_again_go_stale() -> None:
    m, wires = mapping(), {"word_ohm": 200.0, "bit_ohm": 500.0}
    held, change = weights(16, 16).T, 0.05 * normal(16, 16, seed=9)
    tile = Tile(options(wires=wires), m, m.to_cells(held), torch.Generator(), F64)
    assert tile.wire_error() < 1e-12
    tile.hold(m.to_cells((held + change).clamp(-1, 1)), solve=False)
    stale = tile.wire_error()
    x, moved = torch.eye(16, dtype=F64), m.to_cells((held + change).clamp(-1, 1))
    true = Tile(options(wires=wires), m, moved, torch.Generator(), F64).product(x)
    assert error(tile.product(x), true) == pytest.approx(stale, rel=1e-6)
    assert 1e-4 < stale < 0.5 * error((held + change).clamp(-1, 1), true)
    tile.hold(moved)
    assert tile.wire_error() < 1e-12
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Notice)  # the drop is outside of the range of this solution
        cheap = Tile(options(wires=wires | {"solution": "first_order"}), m, moved, torch.Generator(), F64)
    assert cheap.wire_error() > 1e-2


NOISES = [{"absolute": 0.02}, {"relative": 0.1}, {"absolute": 0.02, "relative": 0.1}]


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("direction", ["forward", "transposed"])
def test_one_draw_per_output_has_the_law_of_one_per_cell(noise: Any, pairing: Pairing, direction: str) -> None:
    reads, rows, cols = 3000, 7, 3
    m = mapping(pairing)
    cells = m.to_cells(weights(cols, rows).T)
    cells *= 0.1 + 5 * torch.rand(cells.shape, generator=torch.Generator().manual_seed(7), dtype=F64)  # references, too
    tile = Tile(options(pairing=pairing, read_noise=noise), m, cells, torch.Generator().manual_seed(3), F64)
    sd = torch.sqrt((noise.get("absolute", 0.0) * 24e-6) ** 2 + (noise.get("relative", 0.0) * cells) ** 2)
    flicker = cells + sd * normal(reads, *cells.shape, seed=4)
    if direction == "forward":
        x = normal(1, rows, seed=5)
        short = tile.product(x.expand(reads, rows))
        seen = torch.stack([m.forward(c) for c in flicker])
    else:
        x = normal(1, cols, seed=5)
        short = tile.product_transposed(x.expand(reads, cols))
        seen = torch.stack([m.transposed(c) for c in flicker])
    slow = (x @ seen).squeeze(1)
    for one, other in zip(short.T, slow.T, strict=True):
        assert stats.ks_2samp(one.numpy(), other.numpy()).pvalue > 1e-3
    common, expected = torch.corrcoef(short.T), torch.corrcoef(slow.T)  # a reference makes outputs noisy together
    assert float((common - expected).abs().max()) < 5 / math.sqrt(reads)
    assert (float((common - torch.eye(len(common))).abs().max()) > 0.2) == (pairing == "reference")


def test_every_array_converts_its_own_part() -> None:
    part = {"dac": {"bits": 4, "range": 1.0}, "adc": {"bits": 6, "range": 3.0}}
    coupling = tiled(weights(5, 20), rows=10, cols=16, forward=part)
    x = 0.7 * normal(30, 20, seed=1)
    driven = (x.clamp(-1, 1) * 7).round() / 7
    step = 3.0 / 31
    first, second = (driven[:, k : k + 10] @ weights(5, 20)[:, k : k + 10].T for k in (0, 10))
    converted = [(half.clamp(-3, 3) / step).round() * step for half in (first, second)]
    assert error(coupling.product(x), converted[0] + converted[1]) < 1e-9
    y = normal(4, 5, seed=2)
    assert error(coupling.product_transposed(y), y @ weights(5, 20)) < 1e-12  # this direction's are ideal


def test_phases_reach_the_converters() -> None:
    coupling = tiled(weights(5, 20), rows=10, cols=16, phase_mismatch={"offset_sd": 0.1})
    x = normal(3, 20, seed=1)
    clean = x @ weights(5, 20).T
    assert error(coupling.product(x), clean) < 1e-12
    shift = coupling.product(x, POSITIVE) - clean
    assert float(shift.std(dim=0).max()) < 1e-12 < float(shift.abs().min())
    mixed = coupling.product(x, torch.tensor([FREE, POSITIVE, NEGATIVE]))
    assert torch.allclose(mixed[0], clean[0]) and torch.allclose(mixed[1] - clean[1], shift[1])
    assert not torch.allclose(mixed[2] - clean[2], shift[2])
    y = normal(3, 5, seed=1)
    assert error(coupling.product_transposed(y, NEGATIVE), y @ weights(5, 20)) > 1e-3


def test_a_seed_is_the_whole_of_chance() -> None:
    noisy = {
        "read_noise": {"absolute": 0.02}, "forward": {"adc": {"gain_sd": 0.1, "offset_sd": 0.1, "noise_sd": 0.1}},
    }  # fmt: skip
    x = normal(3, 20, seed=1)
    first, again, other = (tiled(weights(5, 20), seed=seed, **noisy).product(x) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.allclose(first, other)


def test_a_snapshot_brings_back_stale_wires_too() -> None:
    real = {"wires": {"word_ohm": 500.0, "bit_ohm": 500.0}, "forward": {"adc": {"gain_sd": 0.1, "noise_sd": 0.1}}}
    first = tiled(weights(20, 20), **real)
    program(first, weights(20, 20) * 0.5, solve=False)
    kept, state = first.snapshot(), first.grid[0][0].generator.get_state()
    expected = first.product(normal(3, 20))
    second = tiled(weights(20, 20).flip(0), **real)
    second.restore(kept)
    second.grid[0][0].generator.set_state(state)
    assert torch.equal(second.product(normal(3, 20)), expected)
    program(first, weights(20, 20))
    assert torch.equal(second.snapshot()["0.1.cells"], kept["0.1.cells"])  # copies


def cut(cells: Tensor) -> Tile:
    return Tile(options(), mapping(), cells, torch.Generator(), F64)


BAD = [
    (lambda: cut(torch.ones(2, 17, 3) * 1e-6), "tile: cells shape = (2, 17, 3): must be (2, rows, cols) within an"),
    (lambda: cut(torch.ones(1, 3, 3) * 1e-6), "tile: cells shape = (1, 3, 3): must be (2, rows, cols) within an array"),
    (lambda: cut(torch.ones(3, 3) * 1e-6), "tile: cells shape = (3, 3): must be (2, rows, cols) within an array of 16"),
    (lambda: cut(-torch.ones(2, 3, 3)), "array: conductance = -1.0: must be finite and not negative"),
    (lambda: cut(torch.ones(2, 3, 3)).hold(torch.ones(2, 3, 4)), "tile: cells shape = (2, 3, 4): must be (2, 3, 3)"),
    (lambda: Tile(options(), mapping("reference"), torch.ones(2, 3, 3), torch.Generator()), "tile: mapping.pairing = "),
    (lambda: tiled(2 * torch.ones(3, 3)), "mapping: weight = 2.0: must be within w_max = 1; raise w_max"),
    (lambda: tiled(torch.full((3, 3), math.nan)), "mapping: weight = nan: must be within w_max = 1; raise w_max"),
    (lambda: tiled(torch.ones(3)), "tiled: weights shape = (3,): must be (out, in); flatten"),
    (lambda: Mapping(2e-6, 1e-6, 1.0, "reference"), "mapping: g_min = 2e-06: must be 0 or more and below"),
    (lambda: Mapping(0.0, 1e-6, 0.0, "reference"), "mapping: w_max = 0.0: must be above 0"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), BAD)
def test_what_cannot_be_is_refused(call: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        call()
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_a_refused_change_leaves_the_old_cells() -> None:
    coupling, x = tiled(weights(20, 20)), normal(2, 20)
    before = coupling.product(x)
    wrong = coupling.grid[0][0].cells.clone()
    wrong[-1, -1, -1] = -1e-6
    with pytest.raises(InputError):
        coupling.grid[0][0].hold(wrong)
    assert torch.equal(coupling.product(x), before)
