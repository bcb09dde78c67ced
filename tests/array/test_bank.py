"""The cells of one coupling: what is written is what products see, in every way of holding a sign."""

from __future__ import annotations

import pytest
import torch
from cell_arrays import device
from helpers import card
from torch import Tensor

from mep_hw.array.bank import Bank
from mep_hw.cards.array import ArrayOptions
from mep_hw.cards.schema import DeviceCard
from mep_hw.errors import CapabilityError
from mep_hw.schedule import Cell, Refresh, Row

F64 = torch.float64
SHAPE = (5, 9)


def alike(name: str = "gokmen-vlasov", **changes: object) -> DeviceCard:
    """Cells without spread or noise."""
    return device(name, spread=None, noise=None, **changes)


def options(**changes: object) -> ArrayOptions:
    return ArrayOptions.model_validate({"rows": 6, "cols": 4, **changes})


def bank(cells: DeviceCard, **changes: object) -> Bank:
    return Bank(options(**changes), cells, SHAPE, torch.Generator().manual_seed(0), F64)


def drawn(scale: float = 0.3) -> Tensor:
    return scale * torch.randn(SHAPE, generator=torch.Generator().manual_seed(1), dtype=F64)


@pytest.mark.parametrize(
    ("name", "pairing"),
    [("gokmen-vlasov", "device"), ("gokmen-vlasov", "differential"), ("gokmen-vlasov", "reference"), ("pcm", "device")],
)
def test_products_are_those_of_the_weights_held(name: str, pairing: str) -> None:
    made, held = bank(alike(name), pairing=pairing, scale=2.0), drawn()
    made.set(held)
    assert torch.allclose(made.weights, held, rtol=0, atol=1e-12)
    x, y = torch.rand(3, 9, dtype=F64), torch.rand(3, 5, dtype=F64)
    assert torch.allclose(made.product(x), x @ held.T, rtol=0, atol=1e-12)
    assert torch.allclose(made.product_transposed(y), y @ held, rtol=0, atol=1e-12)


@pytest.mark.parametrize("pairing", ["reference", "differential"])
def test_a_pulse_moves_a_weight_by_the_step_of_the_cell_times_the_scale(pairing: str) -> None:
    made = bank(alike(), pairing=pairing, scale=2.0)
    up, down = torch.zeros(SHAPE, dtype=torch.int32), torch.zeros(SHAPE, dtype=torch.int32)
    up[1, 2], down[3, 4] = 3, 2
    assert made.pulse(Row(up - down)).energy_j is None  # nobody knows this device's energy
    made.show()
    wanted = torch.zeros(SHAPE, dtype=F64)
    wanted[1, 2], wanted[3, 4] = 3 * 2 * 0.0016, -2 * 2 * 0.0016
    assert torch.allclose(made.weights, wanted, rtol=0, atol=1e-12)
    assert int((made.cells.up_count + made.cells.down_count).sum()) == (5 if pairing == "reference" else 10)
    assert torch.allclose(made.product(torch.eye(9, dtype=F64)).T, wanted, rtol=0, atol=1e-12)


def test_write_and_verify_ends_within_the_tolerance_or_says_how_far_it_went() -> None:
    made, held = bank(device("ecram")), drawn(0.2)
    done = made.verify(Cell(held - made.weights, 0.01, 30))
    assert float((made.weights - held).abs().max()) <= 0.01
    lines = held.shape[1]
    assert done.cycles is not None and lines < done.cycles < 30 * lines
    assert done.pulses is not None and done.pulses > 100
    before = made.weights.clone()
    again = made.verify(Cell(held - made.weights, 0.01, 30))
    # Of the array that has most lines.
    assert again.cycles == 0 and again.pulses == 0 and again.reads == 5 and torch.equal(made.weights, before)
    stopped = bank(device("ecram")).verify(Cell(held, 1e-9, 2))
    assert stopped.cycles is not None and lines < stopped.cycles <= 2 * 2 * lines  # up and down


def test_a_law_of_programming_is_used_where_there_is_one_and_only_where_needed() -> None:
    made, held = bank(device("pcm")), drawn(0.2)
    done = made.verify(Cell(held, 0.01, 5))
    assert done.pulses is None  # no source says how many
    error = made.weights - held
    assert 0.01 < float(error.std()) < 0.2
    kept, far = made.weights.clone(), torch.zeros(SHAPE, dtype=torch.bool)
    far[2, 3] = True
    made.verify(Cell(torch.where(far, 1.0, 0.0), 0.9, 5))
    assert torch.equal(made.weights[~far], kept[~far]) and float((made.weights - kept)[2, 3]) > 0.5


@pytest.mark.parametrize("name", ["reram-om", "reram-sb"])
def test_writing_coarse_and_uneven_cells_brings_them_closer(name: str) -> None:
    """Cells whose steps are larger than the card's mean overshoot; nobody may be pulsed further and further away."""
    made, held = bank(device(name), pairing="reference"), drawn(0.3)
    before = (held - made.weights).norm()
    made.verify(Cell(held - made.weights, 0.01, 20))
    assert float((held - made.weights).norm() / before) < 0.9


@pytest.mark.parametrize("pairing", ["reference", "differential"])
def test_wires_show_and_go_stale_between_refreshes(pairing: str) -> None:
    cells = alike("fefet")
    ideal, wired = (
        bank(cells, rows=16, cols=16, pairing=pairing, wires={"word_ohm": w, "bit_ohm": w}, solve_every=3)
        for w in (1e-6, 2e3)
    )
    held, x = drawn(0.25), torch.rand(2, 9, dtype=F64)
    for made in (ideal, wired):
        made.set(held)
    assert torch.allclose(ideal.product(x), x @ held.T, rtol=0, atol=1e-6)
    drop = float((wired.product(x) - x @ held.T).norm() / (x @ held.T).norm())
    assert 0.001 < drop < 0.5
    ones = torch.ones(SHAPE, dtype=torch.int32)
    assert wired.tiled.wire_error() < 1e-9
    errors: list[float] = []
    for _ in range(3):
        wired.pulse(Row(3 * ones))
        wired.show()
        errors.append(wired.tiled.wire_error())
    assert errors[0] > 1e-6 and errors[1] > errors[0] and errors[2] < 1e-9  # the third change refreshes


def test_a_bank_comes_back_with_noise_wear_and_wires() -> None:
    def build(seed: int) -> Bank:
        return Bank(
            options(wires={"word_ohm": 5.0, "bit_ohm": 5.0}, solve_every=2), device("fefet"), SHAPE,
            torch.Generator().manual_seed(seed), F64,
        )  # fmt: skip

    def go_on(made: Bank) -> Tensor:
        made.pulse(Row(torch.full(SHAPE, 2, dtype=torch.int32)))
        made.show()
        return made.product(torch.ones(2, 9, dtype=F64))

    one, other = build(1), build(2)
    one.verify(Cell(drawn(), 0.05, 10))
    go_on(one)
    other.restore({name: value.clone() for name, value in one.snapshot().items()})
    assert torch.equal(go_on(one), go_on(other)) and torch.equal(one.cells.up_count, other.cells.up_count)


@pytest.mark.parametrize(("cells", "changes", "message"), [
    ("pcm", {"pairing": "reference"}, "device pcm: w_min = 0.0: such cells cannot hold negative weights"),
    ("ecram", {"wires": {"word_ohm": 1.0}}, "device ecram: electrical.g_max = unknown: array.wires needs the range"),
    ("ecram", {"read_noise": {"relative": 0.1}}, "g_max = unknown: array.read_noise.relative needs"),
])  # fmt: skip
def test_what_an_array_cannot_do_with_these_cells(cells: str, changes: dict[str, object], message: str) -> None:
    with pytest.raises(CapabilityError, match=message):
        bank(device(cells), **changes)


def test_the_card_of_the_crossbar_is_one_of_a_bank() -> None:
    array = card("crossbar").array
    assert array is not None
    made = Bank(array, device("ecram"), (200, 300), torch.Generator())
    assert len(made.tiled.grid) == 3 and len(made.tiled.grid[0]) == 2  # 127 lines of each array hold weights


def test_pairs_written_anew_keep_what_drives_say() -> None:
    """After drift the gain makes up for what cells have lost; writing them anew must not do so once more."""
    made = bank(device("pcm", spread=None))
    made.set(drawn(0.3))
    made.wait(1e5, compensate=True)
    assert made.gain > 1.05
    before = made.held.clone()
    made.refresh(Refresh(0.001, 5))
    made.show(solve=True)
    size = float((made.held * before).sum() / before.square().sum())
    assert size == pytest.approx(1.0, abs=0.1)
