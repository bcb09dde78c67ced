"""What is owed: nothing of an update is lost or counted twice, whoever looks at the weights, and how often."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from cell_arrays import device
from compiler_cards import F64, crossbar, low_rank, steps
from helpers import card
from torch import Tensor

import mep_hw
from mep_hw import machine as machines
from mep_hw.cards import BackendCard, DeviceCard
from mep_hw.errors import CapabilityError, InputError
from mep_hw.outersum import OuterSum, dense
from mep_hw.rules import Bounded, Dion
from mep_hw.schedule import Outer, Read, Refresh
from mep_hw.training.owed import Owed

OUT, IN = 12, 15
CLEAN: dict[str, Any] = {"forward": {}, "transposed": {}, "read_noise": {}}  # reads show what cells hold


def books(backend: BackendCard, cells: DeviceCard, clean: bool = True, seed: int = 0) -> Owed:
    """Of one coupling whose weights start at 0, exactly."""
    if clean:
        assert backend.array is not None
        backend = BackendCard.model_validate(backend.model_dump() | {"array": backend.array.model_dump() | CLEAN})
    model = mep_hw.mlp(IN, OUT, dtype=F64)
    model.weights[0].zero_()
    return Owed(machines.build(model, backend, cells, seed), 0)


def owed(found: Owed) -> Tensor:
    return torch.zeros(OUT, IN, dtype=F64) if found.residual is None else dense(found.residual)


def updates(count: int, size: float = 0.05) -> list[OuterSum]:
    return [low_rank(OUT, IN, 2, size, seed) for seed in range(count)]


@pytest.mark.parametrize("form", ["outer", "row", "cell"])
def test_realised_and_owed_are_all_that_was_asked_for(form: str) -> None:
    """Exact cells, so that nothing but what is left on purpose, or found by a look, can be missing."""
    kept = books(crossbar((form,), trains="deterministic"), steps())
    asked = torch.zeros(OUT, IN, dtype=F64)
    start = kept.substrate.read(0)
    for update in updates(8):
        kept.execute(kept.compile(update, local=False))
        asked += update.dense()
        assert torch.allclose(kept.substrate.read(0) - start + owed(kept), asked, rtol=0, atol=1e-9)


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("form", ["outer", "row"])
def test_a_look_finds_what_noisy_cells_made_of_their_pulses(form: str, every: int) -> None:
    kept = books(crossbar((form,), read_every=every, reads=1), device("gokmen-vlasov"))
    asked = kept.substrate.model.weights[0].clone()
    for number, update in enumerate(updates(9), start=1):
        schedule = kept.compile(update, local=False)
        assert isinstance(schedule.cycles[-1], Read) == (number % every == 0)
        kept.execute(schedule)
        asked += update.dense()
        if number % every == 0:  # the true residual, from the weights that were meant to be there on
            assert torch.allclose(kept.substrate.read(0) + owed(kept), asked, rtol=0, atol=1e-9)
    blind = books(crossbar((form,)), device("gokmen-vlasov"))
    for update in updates(9):
        blind.execute(blind.compile(update, local=False))
    missed, seen = (float((asked - k.substrate.read(0)).norm()) for k in (blind, kept))
    assert missed > 1.5 * seen or every > 1


@pytest.mark.parametrize("every", [1, 3])
def test_a_look_after_verified_writes_counts_nothing_twice(every: int) -> None:
    kept = books(crossbar(("cell",), tolerance=0.1, read_every=every, reads=1), device("ecram"))
    asked = kept.substrate.model.weights[0].clone()
    for number, update in enumerate(updates(9), start=1):
        kept.execute(kept.compile(update, local=False))
        asked += update.dense()
        if number % every:
            continue
        assert torch.allclose(kept.substrate.read(0) + owed(kept), asked, rtol=0, atol=1e-9)


def test_options_that_cannot_be_kept_are_refused() -> None:
    with pytest.raises(
        CapabilityError, match="device ecram: w_min = .*refresh_every is for pairs of cells that hold one"
    ):
        books(crossbar(("row",), refresh_every=2), device("ecram"))
    with pytest.raises(ValueError, match="must read back all where trains are deterministic"):
        card("crossbar", array__writing={"read_every": 1, "read_what": "written", "trains": "deterministic"})
    with pytest.raises(ValueError, match="must leave read_every and refresh_every 0 where slices are several"):
        card("crossbar", array__slices=2, array__writing={"read_every": 1})


def test_a_look_at_the_written_directions_sees_their_errors_only() -> None:
    kept = books(crossbar(("outer",), read_every=1, read_what="written", reads=1), device("gokmen-vlasov"))
    update = updates(1)[0]
    schedule = kept.compile(update, local=False)
    assert isinstance(schedule.cycles[-1], Read)
    basis = schedule.cycles[-1].basis
    assert basis is not None and basis.shape == (OUT, 2)
    kept.execute(schedule)
    error = update.dense() - kept.substrate.read(0)
    seen = basis @ (basis.T @ error)
    assert torch.allclose(owed(kept), seen, rtol=0, atol=1e-9) and float(seen.norm()) > 0.05 * float(error.norm())
    assert kept.target is not None
    assert torch.allclose(kept.target, kept.substrate.read(0) + (error - seen), rtol=0, atol=1e-9)


def test_a_look_at_the_written_directions_goes_on_seeing_few_of_them() -> None:
    backend = crossbar(("outer",), read_every=1, read_what="written", reads=1, rank_max=3)
    kept = books(backend, device("gokmen-vlasov"))
    for update in updates(5):
        schedule = kept.compile(update, local=False)
        assert isinstance(schedule.cycles[-1], Read) and schedule.cycles[-1].basis is not None
        assert schedule.cycles[-1].basis.shape[1] <= 3
        kept.execute(schedule)


def test_read_back_costs_reads() -> None:
    costs = []
    for every in (0, 1):
        kept = books(crossbar(("row",), read_every=every, reads=4), device("ecram"))
        costs.append(kept.execute(kept.compile(updates(1)[0], local=False)))
    assert costs[0].reads == 0 and costs[1].reads == 4 * IN
    assert costs[0].time_s is not None and costs[1].time_s is not None and costs[1].time_s > costs[0].time_s


def test_what_no_cell_can_hold_is_not_owed_for_ever() -> None:
    kept = books(crossbar(("row",), read_every=1, reads=1), steps())
    for _ in range(12):
        kept.execute(kept.compile(torch.full((OUT, IN), 0.3, dtype=F64), local=False))
    assert float(kept.substrate.read(0).max()) == pytest.approx(1.0, abs=1e-6)
    assert float(owed(kept).abs().max()) < 0.002


def test_what_dion_keeps_and_what_is_owed_are_never_the_same() -> None:
    """Realised + owed is what Dion asked for; its memory + what it regards as applied is what was measured."""
    kept = books(crossbar(("row",)), steps())
    rule = Dion(rank=2, momentum=0.0)
    generator = torch.Generator().manual_seed(0)
    memory = rule.init((OUT, IN), generator, F64)
    asked, measured = torch.zeros(OUT, IN, dtype=F64), torch.zeros(OUT, IN, dtype=F64)
    applied = torch.zeros(OUT, IN, dtype=F64)
    for _ in range(6):
        contrast = 0.01 * torch.randn(OUT, IN, generator=generator, dtype=F64)
        before = memory["m"]
        update, memory = rule.step(contrast, memory, lr=0.02)
        kept.execute(kept.compile(update, local=False))
        asked += dense(update)
        measured += contrast
        applied += before + contrast - memory["m"]  # what Dion regards as applied, in the size of contrasts
        assert torch.allclose(kept.substrate.read(0) + owed(kept), asked, rtol=0, atol=1e-9)
        assert torch.allclose(memory["m"] + applied, measured, rtol=0, atol=1e-12)


def test_hammer_is_one_more_cycle() -> None:
    """One singular value above the bound: one direction beside those of Dion, on one more cycle."""
    backend, cells = crossbar(("outer",)), steps(1e-4)
    rule = Bounded(Dion(rank=2), bound=0.5, method="hammer")
    generator = torch.Generator().manual_seed(0)
    memory = rule.init((OUT, IN), generator, F64)
    strong = low_rank(OUT, IN, 1, 0.7, seed=5).dense()
    contrast = torch.randn(OUT, IN, generator=generator, dtype=F64)
    kept = books(backend, cells)
    update, memory = rule.step(contrast, memory, lr=0.02, weights=strong)
    assert isinstance(update, OuterSum) and int(memory["directions"]) == 1
    (cycle,) = kept.compile(update, local=False).cycles
    assert isinstance(cycle, Outer) and len(cycle.lengths) == 3
    assert float(torch.linalg.matrix_norm(strong + update.dense(), 2)) <= 0.5 * 1.01


def test_pairs_of_one_sign_are_pulsed_where_they_are_refreshed() -> None:
    cells = device("gokmen-vlasov", w_min=0.0, spread=None, noise=None)
    kept = books(crossbar(("row", "cell"), refresh_every=3), cells)
    kinds: list[bool] = []
    for update in updates(6, 0.4):
        schedule = kept.compile(update, local=False)
        kinds.append(isinstance(schedule.cycles[-1], Refresh))
        kept.execute(schedule)
    assert kinds == [False, False, True, False, False, True]
    total = sum((u.dense() for u in updates(6, 0.4)), torch.zeros(OUT, IN, dtype=F64))
    assert float((kept.substrate.read(0) + owed(kept) - total).norm() / total.norm()) < 0.05


@pytest.mark.parametrize(
    "changes",
    [{"array__writing": {"read_every": 2}}, {"array__writing": {"read_every": 1, "read_what": "written"}}, {}],
    ids=["all", "written", "open loop"],
)
def test_a_resumed_run_owes_the_same(changes: dict[str, object], tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    data = (torch.rand(48, 6, generator=generator), torch.randint(3, (48,), generator=generator))
    backend = card("crossbar", write_modes=["outer"], **changes)

    def train(epochs: int, resume: bool) -> mep_hw.Run:
        return mep_hw.train(
            mep_hw.mlp(6, 5, 3, seed=1), data, backend=backend, rule="dion", rank=2, lr=0.01, epochs=epochs,
            batch_size=12, lr_schedule="constant", checkpoint=tmp_path / f"{resume}.safetensors", resume=resume,
            progress=False, on_step=None,
        )  # fmt: skip

    whole = train(4, False)

    class Stopped(Exception):
        pass

    def stop(info: Any) -> None:
        if info.epoch == 3:
            raise Stopped

    with pytest.raises(Stopped):
        mep_hw.train(
            mep_hw.mlp(6, 5, 3, seed=1), data, backend=backend, rule="dion", rank=2, lr=0.01, epochs=4, batch_size=12,
            lr_schedule="constant", checkpoint=tmp_path / "True.safetensors", progress=False, on_step=stop,
        )  # fmt: skip
    resumed = train(4, True)
    assert all(torch.equal(a, b) for a, b in zip(whole.model.weights, resumed.model.weights, strict=True))
    assert whole.cost == resumed.cost


@pytest.mark.parametrize("goal", ["time", "wear"])
def test_the_objective_of_a_run_decides_the_form(goal: str) -> None:
    """By wear rows take fewer pulses, by time outer products of two directions fewer slots."""
    run = mep_hw.train(
        mep_hw.mlp(64, 24, 10), backend="crossbar", rule="dion", rank=2, minimise=goal, epochs=1, progress=False
    )
    assert run.settings.minimise == goal
    other = mep_hw.train(
        mep_hw.mlp(64, 24, 10), backend="crossbar", rule="dion", rank=2, epochs=1, progress=False,
        minimise="wear" if goal == "time" else "time",
    )  # fmt: skip
    less, more = (run.cost, other.cost)
    field = "time_s" if goal == "time" else "pulses"
    assert getattr(less, field) is not None and getattr(less, field) < 0.9 * getattr(more, field)


def test_an_objective_without_arrays_is_refused() -> None:
    with pytest.raises(CapabilityError, match="backend cpu: minimise = time: has no effect without an array"):
        mep_hw.train(mep_hw.mlp(64, 8, 10), minimise="time", progress=False)
    with pytest.raises(InputError, match="train: minimise = space: must be 'time', 'energy' or 'wear'"):
        mep_hw.train(mep_hw.mlp(64, 8, 10), backend="crossbar", minimise="space", progress=False)


def test_looks_at_cells_without_a_range_give_nothing_up() -> None:
    kept = books(crossbar(("cell",), read_every=1, reads=1), device("ideal"))
    kept.execute(kept.compile(torch.full((OUT, IN), 7.0, dtype=F64), local=False))
    assert torch.allclose(kept.substrate.read(0) + owed(kept), torch.full((OUT, IN), 7.0, dtype=F64), atol=1e-9)


def test_the_local_rule_is_verified_where_weights_are_spread_over_slices() -> None:
    backend = card("crossbar", write_modes=["outer", "cell"], array__slices=2)
    run = mep_hw.train(mep_hw.mlp(64, 6, 10), backend=backend, rule="hebbian", lr=0.01, epochs=1, progress=False)
    assert run.cost.reads is not None and run.cost.reads > 0
