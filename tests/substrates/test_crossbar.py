"""The crossbar: without errors it is the reference machine; with them it trains, knows what it owes, and resumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import card
from problems import problem
from torch import Tensor

import mep_hw
from mep_hw import machine as machines
from mep_hw.array.bank import Bank
from mep_hw.array.wires import exact
from mep_hw.cards import BackendCard, load_device
from mep_hw.compiler import compile
from mep_hw.errors import CapabilityError, ModelError, Notice, ScheduleError
from mep_hw.files import read_tensors
from mep_hw.model import Model
from mep_hw.outersum import OuterSum
from mep_hw.schedule import Cell, Cost, Outer, Registers, Row, Schedule
from mep_hw.state import Nudge
from mep_hw.substrates.crossbar import Crossbar
from mep_hw.training.loop import StepInfo

CLEAN: dict[str, object] = {
    "array__forward": {}, "array__transposed": {}, "array__read_noise": {}, "compute__dtype": "float64",
    "settle__tolerance": 1e-9, "settle__nudged_tolerance": 1e-9, "settle__free_sweeps": 2000,
    "settle__nudged_sweeps": 2000,
}  # fmt: skip


def build(model: Model, cells: str = "ideal", seed: int = 0, **changes: object) -> Crossbar:
    made = machines.build(model, card("crossbar", **changes), load_device(cells), seed)
    assert isinstance(made, Crossbar)
    return made


@pytest.mark.parametrize("kind", ["mlp", "tanh", "cross_entropy", "skip", "conv", "convskip"])
def test_without_errors_it_settles_like_the_reference_machine(kind: str) -> None:
    p = problem(kind)
    exact = machines.build(p.model, card("reference", settle__tolerance=1e-10, settle__nudged_tolerance=1e-9), None, 0)
    array = build(p.model, **CLEAN)
    assert not array.noisy
    free, wanted = array.settle(p.x), exact.settle(p.x)
    for ours, theirs in zip(free.state, wanted.state, strict=True):
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-6)
    beta = torch.full((len(p.x),), 0.1, dtype=torch.float64)
    nudge = Nudge(torch.cat([beta, -beta]), p.y)
    pairs = zip(array.settle(p.x, nudge, free).state, exact.settle(p.x, nudge, wanted).state, strict=True)
    assert all(torch.allclose(ours, theirs, rtol=0, atol=1e-5) for ours, theirs in pairs)


def test_noise_is_fresh_in_every_read_and_repeats_with_the_seed() -> None:
    p = problem("mlp", dtype=torch.float32)
    one, other, third = (build(p.model, "ecram", seed) for seed in (3, 3, 4))
    states = [machine.settle(p.x.float()).state[0] for machine in (one, one, other, third)]
    assert torch.equal(states[0], states[2])
    assert not torch.equal(states[0], states[1]) and not torch.equal(states[0], states[3])
    assert float((states[0] - states[1]).abs().max()) < 0.4


def test_a_mismatched_phase_shifts_nudged_states_only() -> None:
    p = problem("mlp")
    beta = torch.full((len(p.x),), 1e-6, dtype=torch.float64)
    plain, skewed = (build(p.model, **CLEAN, array__phase_mismatch={"offset_sd": sd}) for sd in (0.0, 0.05))
    free, nudged = [], []
    for array in (plain, skewed):
        free.append(array.settle(p.x))
        nudged.append(array.settle(p.x, Nudge(torch.cat([beta, -beta]), p.y), free[-1]).state[1])
    assert torch.allclose(free[0].state[1], free[1].state[1], rtol=0, atol=1e-7)
    up, down = (nudged[1] - nudged[0]).split(len(p.x))
    assert float(up.abs().max()) > 0.01 and float((up - down).abs().max()) > 0.01


@pytest.mark.parametrize("mode", ["row", "outer", "cell"])
def test_a_stopped_run_goes_on_to_the_same_cells(tmp_path: Path, mode: str) -> None:
    generator = torch.Generator().manual_seed(0)
    data = (torch.rand(40, 6, generator=generator), torch.randint(3, (40,), generator=generator))

    def train(path: Path, stop: bool, resume: bool = False) -> Any:
        def watch(info: StepInfo) -> None:
            if stop and info.epoch == 2:
                raise RuntimeError("stopped")

        return mep_hw.train(
            mep_hw.mlp(6, 5, 4, 3), data, backend=card("crossbar", write_modes=[mode]), epochs=3,
            checkpoint=path, resume=resume, on_step=watch, batch_size=20,
        )  # fmt: skip

    train(tmp_path / "whole.safetensors", stop=False)
    with pytest.raises(RuntimeError, match="stopped"):
        train(tmp_path / "cut.safetensors", stop=True)
    train(tmp_path / "cut.safetensors", stop=False, resume=True)
    (one, _), (other, _) = (read_tensors(tmp_path / f"{name}.safetensors") for name in ("whole", "cut"))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert any(name.endswith("cells.stored") for name in one)


def test_digits_are_learned_in_place_and_not_by_the_read_out() -> None:
    """A third of the default epochs; the full figures are in docs/results."""
    run = mep_hw.train(mep_hw.mlp(64, 24, 10), backend="crossbar", epochs=6, control=True, progress=False)
    assert run.test_accuracy is not None and run.control_accuracy is not None
    assert run.test_accuracy >= 0.88 and run.test_accuracy >= run.control_accuracy + 0.10
    assert run.cost.pulses is not None and run.cost.pulses > 10_000
    assert None not in run.cost.as_dict().values()  # what the device does not know, the card assumes


def test_time_moves_cells_that_drift_and_no_others() -> None:
    p = problem("mlp", dtype=torch.float32)
    array = build(p.model, "pcm")
    before = array.read(0)
    array.wait(86400.0)
    assert float(array.read(0).norm()) < 0.9 * float(before.norm())
    with pytest.raises(ScheduleError, match="cells: seconds = -1.0"):
        array.wait(-1.0)
    with pytest.raises(CapabilityError, match="device ecram: retention.law"):
        build(p.model, "ecram").wait(1.0)


def test_compensation_brings_the_size_of_drives_back() -> None:
    p = problem("mlp", dtype=torch.float32)
    noisy = build(mep_hw.mlp(200, 40, 10), "pcm")  # as the card has it: small weights, coarse converters
    bank = noisy.banks[0]
    assert bank is not None
    held = bank.weights
    noisy.wait(86400.0, compensate=True)
    assert bank.gain == pytest.approx(float(held.square().sum() / (held * bank.weights).sum()), rel=0.05)
    noisy.write(0, held)
    assert bank.gain == 1.0
    quiet: dict[str, object] = {"array__forward": {}, "array__transposed": {}, "array__read_noise": {}}
    plain, helped = (build(p.model, "pcm", **quiet) for _ in range(2))
    x = torch.eye(12)
    before = [array.couple(0, x, None).abs().sum() for array in (plain, helped)]
    plain.wait(86400.0)
    helped.wait(86400.0, compensate=True)
    shrunk, kept = (array.couple(0, x, None).abs().sum() for array in (plain, helped))
    assert float(shrunk / before[0]) < 0.8 and float(kept / before[1]) == pytest.approx(1, abs=0.05)
    back = helped.couple_back(0, torch.eye(10), torch.zeros(10, 12), None)
    assert torch.allclose(back, helped.couple(0, x, None).T, rtol=0, atol=1e-5)  # both directions alike
    again = build(p.model, "pcm", **quiet)
    again.restore(helped.snapshot())
    assert torch.equal(again.couple(0, x, None), helped.couple(0, x, None))


def test_what_it_cannot_do_is_refused_by_name() -> None:
    p = problem("mlp", dtype=torch.float32)
    with pytest.raises(ModelError, match="pool = max: max pooling behind weights"):
        build(problem("maxpool").model)
    with pytest.raises(CapabilityError, match="backend crossbar: array = None"):
        machines.build(p.model, card("crossbar", array=None, write_modes=["exact"]), load_device("ecram"), 0)
    with pytest.raises(CapabilityError, match="backend crossbar: device = None"):
        machines.build(p.model, card("crossbar"), None, 0)
    array = build(p.model, "ecram")
    before = array.read(0)
    with pytest.raises(CapabilityError, match="backend crossbar: cycle = Registers"):
        array.apply(0, Schedule((Registers(before),), before))
    assert torch.equal(array.read(0), before)
    flash = build(p.model, "flash-sonos")
    before = flash.read(0)
    with pytest.raises(CapabilityError, match="backend crossbar: cycle = Row"):
        flash.apply(0, Schedule((Row(torch.ones(10, 12, dtype=torch.int32)),), before))
    assert torch.equal(flash.read(0), before)
    for field, value in (("compute__torch_device", "cuda"), ("complex_states", True)):
        with pytest.raises(CapabilityError, match=f"backend crossbar: {field.replace('__', '.')} = .*: is not for"):
            build(p.model, "ecram", **{field: value})


@pytest.mark.parametrize("change", [float("nan"), 1e30], ids=["nan", "huge"])
@pytest.mark.parametrize("mode", ["row", "outer", "cell"])
def test_an_update_that_cannot_be_pulsed_is_refused_before_any_weight_changes(mode: str, change: float) -> None:
    if mode == "cell" and change == 1e30:
        return  # a target beyond the range is the range
    update = torch.full((3, 4), change)
    with pytest.raises(ScheduleError, match="update: (weights|pulses) = "):
        compile(update, None, card("crossbar", write_modes=[mode]), load_device("ecram"), torch.Generator())


@pytest.mark.parametrize(("cells", "modes"), [("pcm", ["row", "cell"]), ("ecram", ["cell"]), ("ecram", ["outer"])])
def test_convolutions_train_with_every_kind_of_update(cells: str, modes: list[str]) -> None:
    generator = torch.Generator().manual_seed(0)
    data = (torch.rand(12, 1, 6, 6, generator=generator), torch.randint(3, (12,), generator=generator))
    model = mep_hw.convnet((1, 6, 6), (3,), kernel=3, outputs=3)
    before = [w.clone() for w in model.weights]
    mep_hw.train(
        model, data, backend=card("crossbar", write_modes=modes), device=cells, rule="dion", lr=0.05, epochs=1,
        batch_size=6, progress=False,
    )  # fmt: skip
    assert all(bool(w.isfinite().all()) and not torch.equal(w, b) for w, b in zip(model.weights, before, strict=True))


def test_an_empty_schedule_does_nothing() -> None:
    array = build(mep_hw.mlp(4, 3), "ecram")
    before = array.read(0)
    assert array.apply(0, Schedule((), torch.zeros(3, 4))) == Cost.none()
    assert torch.equal(array.read(0), before)


def test_given_sweeps_are_all_run() -> None:
    p = problem("mlp", dtype=torch.float32)
    array = machines.build(p.model, machines.fixed_sweeps(card("crossbar"), 25, 20), load_device("ecram"), 0)
    assert array.settle(p.x.float()).sweeps.tolist() == [25] * len(p.x)


@pytest.mark.parametrize(
    ("cells", "mode"), [("ecram", "Row"), ("pcm", "Cell"), ("flash-sonos", "Cell"), ("ideal", "Cell")]
)
def test_the_first_mode_that_the_device_can_execute_is_compiled(cells: str, mode: str) -> None:
    update = OuterSum(torch.ones(3, 1), torch.ones(4, 1))
    backend: BackendCard = card("crossbar")
    (cycle,) = compile(update, None, backend, load_device(cells)).cycles
    assert type(cycle).__name__ == mode
    with pytest.raises(ScheduleError, match="holds no mode that flash-sonos can execute"):
        compile(update, None, card("crossbar", write_modes=["outer"]), load_device("flash-sonos"))


def test_bad_dimensions_of_tiles_spread_a_large_coupling() -> None:
    array = build(mep_hw.mlp(300, 5, 2), "ideal", array__forward={}, array__transposed={}, array__read_noise={})
    bank = array.banks[0]
    assert bank is not None and len(bank.tiled.grid) == 3
    x = torch.rand(2, 300)
    weights: Tensor = array.read(0)
    assert torch.allclose(array.couple(0, x, None), x @ weights.T, rtol=0, atol=1e-5)


def test_training_tells_how_stale_its_wires_are() -> None:
    """Against the distance of the conductances in use from those solved anew for the same cells."""
    generator = torch.Generator().manual_seed(0)
    data = (torch.rand(40, 6, generator=generator), torch.randint(3, (40,), generator=generator))
    seen: list[float] = []

    def last(info: StepInfo) -> None:
        if info.step == info.steps:
            assert isinstance(info.machine, Crossbar)
            errors = [0.0]
            for tile in (t for b in info.machine.banks if isinstance(b, Bank) for band in b.tiled.grid for t in band):
                wires = tile.options.wires
                true = tile.mapping.forward(exact(tile.cells.double(), wires.word_ohm, wires.bit_ohm))
                used = tile._forward.weights.double()  # pyright: ignore[reportPrivateUsage]
                errors.append(float((used - true).norm() / true.norm()))
            seen.append(max(errors))

    def train(**changes: object) -> mep_hw.Run:
        return mep_hw.train(
            mep_hw.mlp(6, 5, 3), data, backend=card("crossbar", **changes), device="fefet", epochs=2, batch_size=10,
            lr=0.1, progress=False, on_step=last if changes else None,
        )  # fmt: skip

    wires = {"word_ohm": 2000.0, "bit_ohm": 2000.0}
    stale = train(array__wires=wires, array__solve_every=3, array__pairing="differential")
    told = [row["wire_error"] for row in stale.history]
    assert told == pytest.approx(seen, rel=1e-3, abs=1e-7) and told[0] > 1e-3  # the rate has fallen later on
    assert stale.as_dict()["wire_error"] == told[-1]
    fresh = train(array__wires=wires, array__pairing="differential")
    assert fresh.history[-1]["wire_error"] < 1e-9
    plain = train()
    assert "wire_error" not in plain.history[-1] and "wire_error" not in plain.as_dict()


def test_large_arrays_with_wires_are_noticed() -> None:
    changes: dict[str, object] = {"array__rows": 200, "array__wires": {"word_ohm": 1.0, "solution": "first_order"}}
    with pytest.warns(Notice, match="arrays of more than 128 lines with resistive wires"):
        build(mep_hw.mlp(150, 3), "fefet", **changes)
    build(mep_hw.mlp(100, 3), "fefet", **changes)  # a large array of which little is used; warnings are errors here


def test_the_local_rule_pulses_outer_products_whatever_mode_others_take() -> None:
    update = OuterSum(0.01 * torch.rand(5, 4), torch.rand(6, 4))
    for cells in ("ecram", "reram-sb"):  # the second would be verified
        schedule = compile(update, None, card("crossbar"), load_device(cells), torch.Generator(), local=True)
        assert isinstance(schedule.cycles[0], Outer) and len(schedule.cycles[0].lengths) == 4 and schedule.left is None
    (cycle,) = compile(update, None, card("crossbar"), load_device("pcm"), torch.Generator(), local=True).cycles
    assert isinstance(cycle, Cell)
    run = mep_hw.train(mep_hw.mlp(64, 24, 10), backend="crossbar", rule="hebbian", epochs=6, progress=False)
    assert run.test_accuracy is not None and run.test_accuracy > 0.75
    assert run.cost.slots is not None and run.cost.pulses is not None and run.cost.pulses > 10_000
