"""Write voltages along resistive lines: against Kirchhoff's law at every node, and what they make of pulses."""

from __future__ import annotations

import pytest
import torch
from cell_arrays import device
from circuits import cells
from helpers import card
from nodal import solve_nodal
from torch import Tensor

from mep_hw.array.bank import Bank
from mep_hw.array.write_path import written_share
from mep_hw.cards.array import ArrayOptions
from mep_hw.errors import CapabilityError, CardError
from mep_hw.schedule import Cell, Row

F64 = torch.float64
SHAPE = (7, 9)
OHM = 4e3
RANGE: dict[str, object] = {"electrical__g_min": 4e-8, "electrical__g_max": 1.8e-6}  # that of fefet: little is lost


def selected(conductance: Tensor, word_ohm: float, bit_ohm: float) -> Tensor:
    """The voltage of every cell when it is selected by halves and all other terminals are grounded, cell by cell."""
    rows, cols = conductance.shape
    n = torch.arange(rows * cols)
    word, bit = torch.zeros(len(n), rows, dtype=F64), torch.zeros(len(n), cols, dtype=F64)
    word[n, n // cols], bit[n, n % cols] = 0.5, -0.5
    return solve_nodal(conductance, word_ohm, bit_ohm, word, bit).volt[n, n // cols, n % cols].view(rows, cols)


@pytest.mark.parametrize(("word", "bit"), [(1e3, 1e-9), (1e-9, 1e3)])
def test_the_voltage_of_a_selected_cell_is_exact_where_one_kind_of_wire_is_ideal(word: float, bit: float) -> None:
    g = cells(12, 9)
    true = selected(g, word, bit)
    assert torch.allclose(written_share(g, word, bit), true, rtol=0, atol=1e-10) and float(true.min()) < 0.75


def test_a_cell_without_neighbours_is_a_divider_of_three_resistors() -> None:
    g = torch.tensor([[2e-5]], dtype=F64)
    assert float(written_share(g, 3e3, 8e3)) == pytest.approx(1 / (1 + 2e-5 * 11e3), rel=1e-12)


def test_its_error_falls_faster_than_the_drop_where_both_are_resistive() -> None:
    g = cells(12, 9)
    errors = [float((written_share(g, ohm, ohm) - selected(g, ohm, ohm)).abs().max()) for ohm in (10.0, 20.0, 100.0)]
    assert 3.6 < errors[1] / errors[0] < 4.1  # second order
    assert errors[2] < 0.015 * float((1 - selected(g, 100.0, 100.0)).max())
    two = torch.stack([g, g / 3])
    assert torch.equal(written_share(two, 10.0, 20.0)[1], written_share(g / 3, 10.0, 20.0))


def bank(exponent: float | None, pairing: str = "reference", name: str = "fefet", **changes: object) -> Bank:
    options = ArrayOptions.model_validate(
        {
            "rows": 6, "cols": 5, "pairing": pairing, "wires": {"word_ohm": OHM, "bit_ohm": 2 * OHM},
            "writing": {"drop_exponent": exponent}, **changes,
        }
    )  # fmt: skip
    made = Bank(options, device(name, spread=None, noise=None, **RANGE), SHAPE, torch.Generator().manual_seed(0), F64)
    made.set(0.3 * torch.randn(SHAPE, generator=torch.Generator().manual_seed(1), dtype=F64).clamp(-2, 2))
    return made


@pytest.mark.parametrize("pairing", ["reference", "differential"])
def test_a_pulse_moves_each_cell_by_its_share_of_the_voltage_to_the_exponent(pairing: str) -> None:
    """Against the same pulses at full voltage, and the circuit of each array with its reference lines."""
    up = torch.ones(SHAPE, dtype=torch.int32)
    moved: dict[float | None, Tensor] = {}
    for exponent in (None, 1.0, 3.0):
        made = bank(exponent, pairing)
        before = made.cells.weights
        made.pulse(Row(up))
        moved[exponent] = made.cells.weights - before
    made, share = bank(1.0, pairing), torch.empty_like(moved[None])
    row = 0
    for band in made.tiled.grid:
        column = 0
        for tile in band:
            spare = 1 if pairing == "reference" else 0
            for array, held in enumerate(tile.cells.double()):
                true = selected(held, OHM, 2 * OHM)[: tile.rows, : tile.cols]
                share[array, column : column + tile.cols, row : row + tile.rows] = true.T
            assert tile.cells.shape[1:] == (tile.rows + spare, tile.cols + spare)
            column += tile.cols
        row += band[0].rows
    assert 0.5 < float(share.min()) < 0.98 and float(share.max()) < 1
    for exponent in (1.0, 3.0):
        assert torch.allclose(moved[exponent] / moved[None], share**exponent, rtol=0, atol=0.005 * exponent)


def test_steps_go_stale_with_the_wires_and_come_back_from_a_snapshot() -> None:
    made = bank(2.0, solve_every=2)
    first = made._steps  # pyright: ignore[reportPrivateUsage]
    made.pulse(Row(torch.full(SHAPE, 40, dtype=torch.int32)))
    made.show()
    assert made._steps is first  # pyright: ignore[reportPrivateUsage]
    again = bank(2.0, solve_every=2)
    again.restore({name: value.clone() for name, value in made.snapshot().items()})
    for each in (made, again):
        each.pulse(Row(torch.full(SHAPE, 4, dtype=torch.int32)))
    assert torch.equal(made.weights, again.weights)
    made.show()
    assert not torch.equal(made._steps, first)  # pyright: ignore[reportPrivateUsage]


def test_verified_writes_make_up_for_weak_pulses() -> None:
    wanted = 0.2 * torch.randn(SHAPE, generator=torch.Generator().manual_seed(5), dtype=F64)
    weak, full = bank(4.0, name="gokmen-vlasov"), bank(None, name="gokmen-vlasov")
    pulses: list[int] = []
    for made in (weak, full):
        done = made.verify(Cell(wanted - made.weights, 0.01, 60))
        assert float((made.weights - wanted).abs().max()) <= 0.01 and done.pulses is not None
        pulses.append(done.pulses)
    assert pulses[0] > 1.1 * pulses[1]


def test_a_drop_needs_wires_conductances_and_a_step() -> None:
    with pytest.raises(CardError, match="must leave drop_exponent null where wires have no resistance"):
        card("crossbar", array__writing={"drop_exponent": 1.0})
    for name, changes, message in (
        ("ecram", {}, "device ecram: electrical.g_max = unknown: array.wires needs the range"),
        ("pcm", {"pairing": "differential"}, "device pcm: response.family = .*: array.writing.drop_exponent is about"),
        ("oxide-1v5", {}, "device oxide-1v5: response.family = table: .* measured at one voltage"),
    ):
        given = {"rows": 9, "cols": 9, "wires": {"word_ohm": 1.0}, "writing": {"drop_exponent": 1.0}, **changes}
        with pytest.raises(CapabilityError, match=message):
            Bank(ArrayOptions.model_validate(given), device(name), SHAPE, torch.Generator())
