"""Every form realises what it intends, and `intended + left` is all of the update, for any shape, size and step."""

from __future__ import annotations

import pytest
import torch
from cell_arrays import device
from compiler_cards import F64, crossbar, low_rank, steps
from helpers import card
from hypothesis import given, settings
from hypothesis import strategies as st

import mep_hw
from mep_hw import machine as machines
from mep_hw.cards import BackendCard, DeviceCard
from mep_hw.compiler import compile, predict
from mep_hw.outersum import OuterSum, Update, dense
from mep_hw.schedule import Cell, Outer, Registers, Row, Schedule
from mep_hw.substrates.base import Substrate

FORMS = ("outer", "row", "cell")


def machine(backend: BackendCard, cells: DeviceCard, out: int, inputs: int, seed: int = 0) -> Substrate:
    """One coupling on such an array, at weight 0."""
    model = mep_hw.mlp(inputs, out, dtype=F64)
    model.weights[0].zero_()
    return machines.build(model, backend, cells, seed)


def whole(schedule: Schedule, like: torch.Tensor) -> torch.Tensor:
    left = torch.zeros_like(like) if schedule.left is None else dense(schedule.left).view_as(like)
    return dense(schedule.intended).view_as(like) + left


@settings(max_examples=60, deadline=None)
@given(
    form=st.sampled_from(FORMS), out=st.integers(1, 9), inputs=st.integers(1, 9), rank=st.integers(0, 12),
    size=st.floats(1e-4, 0.5), step=st.floats(1e-4, 0.05), owed=st.booleans(), factored=st.booleans(),
    random=st.booleans(), most=st.none() | st.integers(1, 3), seed=st.integers(0, 99),
)  # fmt: skip
def test_what_is_intended_and_what_is_left_are_all_of_the_update(
    form: str, out: int, inputs: int, rank: int, size: float, step: float, owed: bool, factored: bool, random: bool,
    most: int | None, seed: int,
) -> None:  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    left, right = (torch.randn(n, rank, generator=generator, dtype=F64) for n in (out, inputs))
    factors = OuterSum(left, right, size)
    update: Update = factors if factored else factors.dense()
    residual = 0.3 * size * torch.randn(out, inputs, generator=generator, dtype=F64) if owed else None
    how = {"trains": "stochastic" if random else "deterministic", "rounding": "stochastic" if random else "nearest"}
    schedule = compile(update, residual, crossbar((form,), rank_max=most, **how), steps(step), generator)
    wanted = factors.dense() + (0 if residual is None else residual)
    assert torch.allclose(whole(schedule, wanted), wanted, rtol=0, atol=1e-12 + 1e-9 * size)
    (cycle,) = schedule.cycles
    if isinstance(cycle, Outer) and most is not None:
        assert len(cycle.lengths) <= most
    if isinstance(cycle, Row) and not random:
        assert schedule.left is not None and float(dense(schedule.left).abs().max()) <= step / 2 + 1e-12


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pairing", ["reference", "differential"])
def test_ideal_cells_realise_what_deterministic_schedules_intend(form: str, pairing: str) -> None:
    backend = card("crossbar", **{
        "write_modes": [form], "compute__dtype": "float64", "array__scale": 1.0, "array__scale_by": "weight",
        "array__pairing": pairing, "array__writing": {"trains": "deterministic", "tolerance": 1e-9},
    })  # fmt: skip
    cells = steps(0.002, w_min=-1e3, w_max=1e3)
    update = low_rank(7, 9, 3, 0.3)
    schedule = compile(update, None, backend, cells)
    made = machine(backend, cells, 7, 9)
    made.apply(0, schedule)
    intended = dense(schedule.intended)
    slack = 0.002 if form == "cell" else 1e-6  # verified cells can only be as near as a step
    assert float((made.read(0) - intended).abs().max()) < slack
    assert float((intended - update.dense()).norm() / update.dense().norm()) < (0.5 if form == "outer" else 0.1)


@pytest.mark.parametrize("form", ["outer", "row"])
def test_noisy_cells_realise_it_in_the_mean(form: str) -> None:
    """Each cell's mean over machines and draws, in standard errors; of 60 cells, the largest error may be 4 of them."""
    cells = device("gokmen-vlasov")
    backend = crossbar((form,), rounding="stochastic")
    update = low_rank(6, 10, 2, 0.2)
    found: list[torch.Tensor] = []
    for seed in range(300):
        made = machine(backend, cells, 6, 10, seed)
        before = made.read(0)
        made.apply(0, compile(update, None, backend, cells, torch.Generator().manual_seed(seed)))
        found.append(made.read(0) - before)
    sample = torch.stack(found)
    error = sample.std(0) / len(found) ** 0.5
    z = (sample.mean(0) - update.dense()) / error
    assert float(z.abs().max()) < 4 and float(z.square().mean()) < 1.6


def test_weak_directions_wait_until_they_are_worth_a_cycle() -> None:
    """A tenth of a pulse in the largest cell is left; with what was left before it is written."""
    backend, cells = crossbar(("outer",)), steps(0.002)
    generator = torch.Generator().manual_seed(0)
    one = OuterSum(torch.eye(5, 1, dtype=F64), torch.eye(6, 1, dtype=F64), 0.0002)
    first = compile(one, None, backend, cells, generator)
    assert first.left is not None and torch.allclose(dense(first.left), one.dense(), rtol=0, atol=1e-15)
    assert predict(first, backend, cells).slots == 0
    second = compile(one, first.left, backend, cells, generator)
    assert second.left is None and predict(second, backend, cells).cycles == 1
    strong = OuterSum(torch.eye(5, 2, dtype=F64), torch.eye(6, 2, dtype=F64) * torch.tensor([0.02, 0.0002]))
    both = compile(strong, None, backend, cells, generator)
    assert isinstance(both.cycles[0], Outer) and both.cycles[0].lengths == (10,) and both.left is not None
    assert float(dense(both.left).abs().max()) == pytest.approx(0.0002)


def test_the_strongest_directions_come_first_where_only_some_are_allowed() -> None:
    update = low_rank(8, 9, 4).left * torch.tensor([1.0, 4.0, 2.0, 3.0], dtype=F64)
    factors = OuterSum(update, low_rank(8, 9, 4).right, 0.1)
    schedule = compile(factors, None, crossbar(("outer",), rank_max=2), steps(), torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(dense(schedule.intended))[:4]
    assert values.tolist() == pytest.approx([0.4, 0.3, 0, 0], abs=1e-9)


@pytest.mark.parametrize("rounding", ["nearest", "stochastic"])
def test_registers_of_whole_steps_hold_8_bit_integers_and_fixed_point(rounding: str) -> None:
    """Against integer arithmetic; a machine that holds them saturates."""
    form = {"bits": 8, "step": 1 / 64, "rounding": rounding}
    backend = card("cpu", registers=form, compute__dtype="float64")
    generator = torch.Generator().manual_seed(1)
    update = 0.05 * torch.randn(6, 7, generator=generator, dtype=F64)
    schedule = compile(update, None, backend, None, generator)
    (cycle,) = schedule.cycles
    assert isinstance(cycle, Registers)
    units = dense(cycle.change) * 64
    assert torch.equal(units, units.round())
    if rounding == "nearest":
        assert torch.equal(units, (update * 64).round())
    else:
        assert bool(((units - update * 64).abs() < 1).all()) and not torch.equal(units, (update * 64).round())
    assert schedule.left is not None and torch.allclose(whole(schedule, update), update, rtol=0, atol=1e-15)
    model = mep_hw.mlp(7, 6, dtype=F64)
    made = machines.build(model, backend, None, 0)
    held = made.read(0) * 64
    assert torch.equal(held, held.round())
    made.apply(0, schedule)
    assert torch.equal(made.read(0) * 64, held + units)
    made.apply(0, compile(torch.full((6, 7), 99.0, dtype=F64), None, backend, None, generator))
    assert bool((made.read(0) * 64 == 127).all())


def test_a_convolution_keeps_its_shape() -> None:
    update = 0.01 * torch.randn(3, 2, 3, 3, generator=torch.Generator().manual_seed(0), dtype=F64)
    for form in FORMS:
        schedule = compile(update, None, crossbar((form,)), steps(), torch.Generator().manual_seed(0))
        assert torch.allclose(whole(schedule, update), update, rtol=0, atol=1e-12)
        assert form != "cell" or isinstance(schedule.cycles[0], Cell)


def test_registers_stay_on_their_grid_and_are_for_digital_weights() -> None:
    """A step that is no power of two: sums of floats would leave the grid."""
    form = {"bits": 16, "step": 0.001, "rounding": "nearest"}
    made = machines.build(mep_hw.mlp(7, 6), card("cpu", registers=form), None, 0)
    change = torch.full((6, 7), 0.001)
    for _ in range(500):
        made.apply(0, compile(change, None, made.backend, None))
    units = made.read(0) / 0.001
    assert float((units - units.round()).abs().max()) < 2e-4
    with pytest.raises(ValueError, match="must be null where weights are in an array"):
        card("crossbar", registers=form)
