"""Transfer from a fast to a slow array: one step by hand, what it is for, its cost, its state, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from cell_arrays import device
from fast_slow import F64, IN, OUT, STEP, bank, machine, regression, soft
from helpers import card
from pydantic import ValidationError
from torch import Tensor

import mep_hw
from mep_hw import machine as machines
from mep_hw.cards import load_device
from mep_hw.cards.array import ArrayOptions
from mep_hw.compiler import compile, predict
from mep_hw.errors import CapabilityError
from mep_hw.outersum import OuterSum
from mep_hw.schedule import Cell, Outer, Read, Refresh, Row, Schedule, Transfer
from mep_hw.training.loop import StepInfo
from mep_hw.training.owed import Owed

UP, DOWN = STEP, STEP * 0.7


def pulsed(held: Tensor, counts: Tensor) -> Tensor:
    """Soft bounds at -1 and 1, cell by cell and pulse by pulse."""
    new = held.clone()
    for o in range(OUT):
        for i in range(IN):
            for _ in range(abs(int(counts[o, i]))):
                w = float(new[o, i])
                new[o, i] = w + UP * (1 - w) if counts[o, i] > 0 else w - DOWN * (1 + w)
    return new


def trains(seed: int, slots: int = 9) -> Outer:
    generator = torch.Generator().manual_seed(seed)
    words, bits = (torch.randint(-1, 2, (slots, n), generator=generator, dtype=torch.int8) for n in (IN, OUT))
    return Outer(words, bits.abs(), (slots,))  # all pulses of one weight go one way only if its word line's do


def one_way(cycle: Outer) -> Outer:
    """Every word line fires in the direction of its first pulse, so that no cell is pulsed both ways."""
    signs = torch.where(cycle.words.sum(0) < 0, -1, 1).to(torch.int8)
    return Outer(cycle.words.abs() * signs, cycle.bits, cycle.lengths)


def test_updates_and_transfers_are_those_of_cells_taken_one_by_one() -> None:
    """Float64 and no noise: two lines at a time, in turn, with a buffer, choppers set by hand, and part of A seen."""
    gain, buffer, gamma = 0.3, 2.0, 0.25
    made = bank(soft(), {"gain": gain, "buffer": buffer, "gamma": gamma, "pairs": 0})
    made.signs[torch.tensor([1, 4])] = -1
    signs = made.signs.to(F64)
    fast, slow, held = torch.zeros(OUT, IN, dtype=F64), torch.zeros(OUT, IN, dtype=F64), torch.zeros(OUT, IN, dtype=F64)
    line, moved = 0, 0
    for step in range(8):
        cycle = one_way(trains(step))
        made.pulse(cycle)
        fast = pulsed(fast, (cycle.bits.to(F64).T @ cycle.words.to(F64)) * signs)
        made.transfer(Transfer(2))
        for _ in range(2):
            counts = torch.zeros(OUT, IN, dtype=F64)
            for o in range(OUT):
                held[o, line] += gain * signs[line] * fast[o, line]
                counts[o, line] = int(float(held[o, line]) / (buffer * STEP))  # towards zero
                held[o, line] -= counts[o, line] * buffer * STEP
            slow, line, moved = pulsed(slow, counts), (line + 1) % IN, moved + int(counts.abs().sum())
        assert torch.allclose(made.fast.weights, fast, rtol=0, atol=1e-12)
        assert torch.allclose(made.slow.weights, slow, rtol=0, atol=1e-12)
        assert torch.allclose(made.buffer, held, rtol=0, atol=1e-12)
    assert moved > 20
    made.show()
    x, y = torch.rand(4, IN, dtype=F64), torch.rand(4, OUT, dtype=F64)
    whole = slow + gamma * fast
    assert torch.allclose(made.weights, whole, rtol=0, atol=1e-12) and torch.allclose(made.held, whole, atol=1e-12)
    assert torch.allclose(made.product(x), x @ whole.T, rtol=0, atol=1e-12)
    assert torch.allclose(made.product_transposed(y), y @ whole, rtol=0, atol=1e-12)


def test_without_a_buffer_a_transfer_is_right_in_the_mean() -> None:
    """0.3 of a pulse, 100 times, on cells of equal steps: within four standard deviations of a binomial law."""
    flat = {"response__gamma_up": 1e-9, "response__gamma_down": 1e-9, "response__gamma_up_spread": 0.0}
    cells = device("ecram", spread=None, noise=None, stuck=None, response__up_down=0.0, **flat)
    made = bank(cells, {"gain": 0.3, "pairs": 0, "lines": 1})
    made.fast.set(torch.full((OUT, IN), made.step, dtype=F64))
    for _ in range(100):
        made.transfer(Transfer(IN))
    pulses = made.slow.weights / made.step
    assert abs(float(pulses.mean()) - 30) < 4 * (100 * 0.21 / (OUT * IN)) ** 0.5
    assert torch.allclose(pulses, pulses.round(), atol=1e-3) and float(pulses.std()) > 2


def test_programming_is_of_what_products_see() -> None:
    made = bank(soft(), {"gamma": 0.5, "pairs": 50})
    made.pulse(one_way(trains(0)))
    made.transfer(Transfer(3))
    wanted = torch.linspace(-0.5, 0.5, OUT * IN, dtype=F64).view(OUT, IN)
    cost = made.write(wanted, 0.01, 50)
    assert torch.allclose(made.weights, wanted, rtol=0, atol=0.012)
    assert made.next == 0 and float(made.buffer.abs().max()) == 0 and cost.pulses is not None
    assert cost.pulses > 100 * OUT * IN  # pairs of pulses, and those of write and verify


def test_transfer_removes_the_bias_of_asymmetric_cells() -> None:
    """Plain outer products come to rest where the drift of noisy pulses and the gradient cancel: short of the target on
    one side and beyond it on the other."""
    plain = regression(machine(None), 0.05, 600).square().mean().sqrt()
    moved = regression(machine({"gain": 0.1, "buffer": 1.0, "pairs": 400}), 0.05, 600).square().mean().sqrt()
    print(f"root mean square bias of weights of 0.4: {plain:.3f} plain, {moved:.3f} with transfer")
    assert plain > 0.06 and moved < plain / 2


def test_the_chopper_removes_the_bias_of_a_wrong_zero() -> None:
    def bias(chop: float) -> float:
        made = machine({"gain": 0.02, "buffer": 1.0, "pairs": 400, "chop": chop})
        (held,) = made.banks
        held.fast.zero += 0.4  # type: ignore[union-attr]
        return float(regression(made, 0.3, 600).mean())

    fixed, chopped = bias(0.0), bias(0.3)
    print(f"mean bias of weights of 0.4: {fixed:.3f} with a zero off by 0.4, {chopped:.3f} with choppers")
    assert fixed < -0.06 and abs(chopped) < abs(fixed) / 2


def test_choppers_flip_after_a_transfer_as_often_as_the_card_says() -> None:
    made = bank(soft(), {"chop": 0.25, "pairs": 0})
    before, flips = made.signs.clone(), 0
    for _ in range(200):
        made.transfer(Transfer(2))
        flips += int((made.signs != before).sum())
        before = made.signs.clone()
    assert abs(flips - 100) < 4 * (400 * 0.25 * 0.75) ** 0.5
    still = bank(soft(), {"pairs": 0})
    still.transfer(Transfer(IN))
    assert bool((still.signs == 1).all())


def test_updates_are_compiled_to_outer_products_and_a_transfer_when_due() -> None:
    made = machine({"every": 3, "lines": 2, "reads": 4, "pairs": 0})
    update = OuterSum(torch.full((OUT, 2), 0.1), torch.ones(IN, 2))
    owed = Owed(made, 0)
    kinds = []
    for _ in range(6):
        schedule = owed.compile(update, local=False)
        kinds.append([type(cycle) for cycle in schedule.cycles])
        cost = owed.execute(schedule)
        assert owed.residual is None
        (outer, *_) = schedule.cycles
        assert isinstance(outer, Outer) and len(outer.lengths) == 2  # as they come, not put together
    assert kinds == [[Outer], [Outer], [Outer, Transfer]] * 2
    assert cost.reads == 8


@pytest.mark.parametrize("chop", [0.0, 0.5])
def test_what_is_known_of_the_cost_beforehand(chop: float) -> None:
    made = machine({"lines": 2, "reads": 3, "gain": 1.0, "chop": chop, "pairs": 0})
    update = OuterSum(torch.full((OUT, 1), 0.1), torch.ones(IN, 1))
    only = compile(update, None, made.card_of(0), made.device, made.generator)
    first, then = predict(only, made.card_of(0), made.device), made.apply(0, only)
    assert then.pulses == first.pulses and then.energy_j is None and (first.slots is None) == (chop > 0)
    assert first.slots in (None, then.slots)
    moved = Schedule((Transfer(2),), update)
    known, found = predict(moved, made.card_of(0), made.device), made.apply(0, moved)
    assert known.reads == found.reads == 6
    assert known.pulses is known.slots is known.time_s is None
    assert found.pulses is not None and found.slots is not None
    # Lines come one after the other; the cells of each are pulsed together, those up before those down.
    assert 0 < found.slots <= found.pulses and found.cycles in range(2, 5)


def test_choppers_reach_pulses_of_both_arrays_and_wear_is_the_larger_one() -> None:
    made = bank(soft(electrical__endurance=1000.0), {"gain": 1.0, "pairs": 0})
    made.pulse(Outer(torch.ones(5, IN, dtype=torch.int8), torch.ones(5, OUT, dtype=torch.int8), (5,)))
    assert made.wear() == 5 / 1000 and made.counted.shape == (2, 1, OUT, IN)
    made.transfer(Transfer(1))
    assert int(made.counted[0].sum()) == 5 * OUT * IN and int(made.counted[1, 0, :, 1:].sum()) == 0
    assert int(made.counted[1, 0, :, 0].min()) >= 4


def test_arrays_come_back_from_a_snapshot_bit_for_bit() -> None:
    cells = device("reram-sb")
    given = {"gain": 0.5, "gamma": 0.1, "chop": 0.5, "buffer": 1.0, "pairs": 20}
    one, other = (bank(cells, given, seed) for seed in (0, 1))
    for made in (one, other):
        made.write(torch.zeros(OUT, IN, dtype=F64), 0.01, 3)
    one.pulse(trains(1))
    one.transfer(Transfer(4))
    other.restore({name: value.clone() for name, value in one.snapshot().items()})
    ends: list[tuple[Tensor, ...]] = []
    for made in (one, other):
        made.pulse(trains(2))
        made.transfer(Transfer(5))
        made.show()
        ends.append((made.weights, made.buffer, made.signs, made.product(torch.ones(1, IN, dtype=F64))))
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True)) and one.next == other.next == 9 % IN
    assert one.counted.equal(other.counted)


class Stop(Exception):
    """The run was cut off."""


def test_training_resumes_bit_for_bit(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.safetensors"
    generator = torch.Generator().manual_seed(0)
    data = (torch.rand(24, 12, generator=generator), torch.randint(8, (24,), generator=generator))
    given = {"every": 2, "lines": 3, "gain": 0.5, "chop": 0.3, "buffer": 1.0, "pairs": 10}
    backend = card("crossbar", array__transfer=given, write_modes=["outer"])
    options: dict[str, Any] = {
        "backend": backend, "device": load_device("reram-sb"), "rule": "hebbian", "lr": 0.3, "batch_size": 8,
        "epochs": 2, "progress": False,
    }  # fmt: skip

    def stop(info: StepInfo) -> None:
        if info.epoch == 2:
            raise Stop

    whole = mep_hw.train(mep_hw.mlp(12, 8), data, **options)
    with pytest.raises(Stop):
        mep_hw.train(mep_hw.mlp(12, 8), data, checkpoint=file, on_step=stop, **options)
    resumed = mep_hw.train(mep_hw.mlp(12, 8), data, checkpoint=file, resume=True, **options)
    assert all(torch.equal(a, b) for a, b in zip(whole.model.weights, resumed.model.weights, strict=True))
    assert whole.cost == resumed.cost and whole.cost.pulses


@pytest.mark.parametrize(
    "others",
    [
        {"slices": 2}, {"writing": {"read_every": 3}}, {"writing": {"refresh_every": 3}},
        {"writing": {"rank_max": 2}}, {"writing": {"trains": "deterministic"}},
    ],
    ids=str,
)  # fmt: skip
def test_other_ways_of_looking_after_weights_are_refused(others: dict[str, Any]) -> None:
    (name,) = others if "slices" in others else others["writing"]
    with pytest.raises(ValidationError, match=f"must be null beside .*{name}.*: transfer makes up"):
        ArrayOptions.model_validate({"rows": 8, "cols": 8, "transfer": {}} | others)


@pytest.mark.parametrize(
    ("field", "value"), [("every", 0), ("lines", 0), ("gain", 0.0), ("chop", 1.5), ("buffer", 0.0), ("pairs", -1)]
)
def test_numbers_out_of_range_are_refused(field: str, value: float) -> None:
    with pytest.raises(ValidationError, match=field):
        ArrayOptions.model_validate({"rows": 8, "cols": 8, "transfer": {field: value}})


def test_a_machine_without_outer_products_is_refused() -> None:
    backend = card("crossbar", array__transfer={"pairs": 0}, write_modes=["row", "cell"])
    with pytest.raises(CapabilityError, match="backend crossbar: write_modes = row, cell: array.transfer needs outer"):
        machines.build(mep_hw.mlp(4, 3), backend, load_device("reram-sb"), 0)


def test_cycles_of_other_machines_are_refused() -> None:
    update = torch.zeros(OUT, IN)
    fast, plain = machine({"pairs": 0}), machine(None)
    row, cell = Row(torch.ones(OUT, IN, dtype=torch.int32)), Cell(update, 0.1, 1)
    for made, cycles in ((fast, (row, cell, Read(None, 1), Refresh(0.1, 1))), (plain, (Transfer(1),))):
        before = made.read(0)
        for cycle in cycles:
            with pytest.raises(CapabilityError, match=f"backend crossbar: cycle = {type(cycle).__name__}"):
                made.apply(0, Schedule((cycle,), update))
        assert torch.equal(made.read(0), before)
