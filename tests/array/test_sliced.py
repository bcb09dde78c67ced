"""Weights over slices: products, the error of writing, cost and state; and which ways of writing are refused."""

from __future__ import annotations

import pytest
import torch
from cell_arrays import device
from helpers import card
from torch import Tensor

import mep_hw
from mep_hw import machine as machines
from mep_hw.array.bank import READS, Bank
from mep_hw.array.sliced import Sliced
from mep_hw.cards import load_device
from mep_hw.cards.array import ArrayOptions
from mep_hw.errors import CapabilityError, ScheduleError
from mep_hw.schedule import Cell, Row, Schedule
from mep_hw.substrates.crossbar import Crossbar

F64 = torch.float64
SHAPE = (20, 30)


def drawn(seed: int, scale: float = 0.3) -> Tensor:
    return scale * torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=F64).clamp(-2.5, 2.5)


def sliced(name: str, slices: int, base: float = 4.0, seed: int = 0, cells: dict[str, object] | None = None) -> Sliced:
    given = {"rows": 16, "cols": 16, "pairing": "device", "slices": slices, "slice_base": base}
    made = device(name, **(cells or {}))
    array, generator = ArrayOptions.model_validate(given), torch.Generator().manual_seed(seed)
    return Sliced([Bank(array, made, SHAPE, generator, F64) for _ in range(array.slices)], array.slice_base)


def test_products_are_those_of_all_slices_by_their_significance() -> None:
    made = sliced("gokmen-vlasov", 3, 5.0)
    parts = [drawn(k) for k in range(3)]
    for bank, part in zip(made.banks, parts, strict=True):
        bank.set(part)
    held = [bank.weights for bank in made.banks]
    whole = held[0] + held[1] / 5 + held[2] / 25
    x, y = torch.rand(4, 30, dtype=F64), torch.rand(4, 20, dtype=F64)
    assert torch.allclose(made.weights, whole, rtol=0, atol=1e-12)
    assert torch.allclose(made.product(x), x @ whole.T, rtol=0, atol=1e-12)
    assert torch.allclose(made.product_transposed(y), y @ whole, rtol=0, atol=1e-12)


def error(name: str, slices: int, base: float, tolerance: float, cells: dict[str, object] | None = None) -> float:
    """Root mean square of what is missing after programming."""
    made, wanted = sliced(name, slices, base, cells=cells), drawn(1)
    made.write(wanted, tolerance, 30)
    return float((made.weights - wanted).square().mean().sqrt())


@pytest.mark.parametrize(
    ("name", "base", "tolerance", "changes"),
    [("ecram", 8.0, 0.01, {}), ("pcm", 4.0, 1e-4, {"noise": None}), ("flash-sonos", 8.0, 1e-4, {"noise": None})],
)
def test_every_slice_makes_writing_more_exact_by_the_base(
    name: str, base: float, tolerance: float, changes: dict[str, object]
) -> None:
    """By pulses up to a tolerance (ecram), or by laws of programming, whose error is less for small weights."""
    errors = [error(name, slices, base, tolerance, cells=changes) for slices in (1, 2, 3)]
    for before, after in zip(errors, errors[1:], strict=False):
        assert 0.85 * base < before / after < 3 * base, errors


def test_read_noise_is_the_floor_of_slices() -> None:
    errors = [error("pcm", slices, 4.0, 1e-4) for slices in (1, 3, 4)]
    assert errors[0] > 7 * errors[1] and errors[1] < 1.3 * errors[2]


def test_writing_again_and_again_does_not_fill_the_lesser_slices() -> None:
    made = sliced("ecram", 2)
    for seed in range(12):
        change = 0.05 * drawn(seed)
        before = made.weights
        done = made.verify(Cell(change, 0.01, 30))
        assert float((made.weights - before - change).abs().max()) < 0.01 / 4 + 1e-6
    assert float(made.banks[1].weights.abs().max()) < 0.2
    assert done.pulses is not None and done.cycles is not None and done.cycles >= 2


def test_the_look_at_what_a_slice_missed_is_counted() -> None:
    """Cells that are at their targets are read once by write and verify, and then for the slices that follow."""
    made = sliced("gokmen-vlasov", 2, cells={"spread": None, "noise": None})
    cost = made.verify(Cell(torch.zeros(SHAPE, dtype=F64), 0.01, 10))
    lines = 30 // 2  # of each array
    assert cost.reads == 2 * lines * (1 + READS) and cost.pulses == 0


def test_slices_come_back_from_a_snapshot() -> None:
    one, other = sliced("ecram", 2, seed=1), sliced("ecram", 2, seed=2)
    one.write(drawn(0), 0.01, 10)
    other.restore({name: value.clone() for name, value in one.snapshot().items()})
    for made in (one, other):
        made.verify(Cell(0.1 * drawn(1), 0.01, 10))
        made.show()
    x = torch.rand(2, 30, dtype=F64)
    assert torch.equal(one.product(x), other.product(x)) and torch.equal(one.weights, other.weights)


def test_a_sliced_machine_holds_its_model_more_exactly_trains_and_drifts() -> None:
    rough, fine = (
        machines.build(mep_hw.mlp(12, 10, 8), card("crossbar", array__slices=n), load_device("pcm"), 0) for n in (1, 3)
    )
    wanted = fine.model.weights[0]
    errors = [float((machine.read(0) - wanted).norm()) for machine in (rough, fine)]
    assert errors[0] > 5 * errors[1]
    generator = torch.Generator().manual_seed(0)
    data = (torch.rand(40, 12, generator=generator), torch.randint(8, (40,), generator=generator))
    run = mep_hw.train(
        mep_hw.mlp(12, 10, 8), data, backend=card("crossbar", array__slices=2, write_modes=["cell"]), epochs=1,
        progress=False,
    )  # fmt: skip
    assert run.cost.pulses is not None and run.cost.pulses > 100
    before = fine.read(0)
    fine.wait(86400.0)
    assert float(fine.read(0).norm()) < 0.95 * float(before.norm())


def test_other_ways_of_writing_are_refused() -> None:
    with pytest.raises(ScheduleError, match="backend crossbar: write_modes = outer: .* several slices"):
        backend = card("crossbar", array__slices=2, write_modes=["outer"])
        machines.build(mep_hw.mlp(4, 3), backend, load_device("ecram"), 0)
    backend = card("crossbar", array__slices=2, write_modes=["cell", "row"])
    array = machines.build(mep_hw.mlp(4, 3), backend, load_device("ecram"), 0)
    before = array.read(0)
    with pytest.raises(CapabilityError, match="backend crossbar: cycle = Row"):
        array.apply(0, Schedule((Row(torch.ones(3, 4, dtype=torch.int32)),), before))
    assert torch.equal(array.read(0), before)


def test_one_slice_is_a_plain_bank() -> None:
    array = machines.build(mep_hw.mlp(4, 3), card("crossbar"), load_device("ecram"), 0)
    assert isinstance(array, Crossbar) and isinstance(array.banks[0], Bank)
