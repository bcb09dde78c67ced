"""The programming study: its cards, what it runs and resumes, and that its costs are those of the machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import mep_hw
from mep_hw import machine
from mep_hw.cards import BackendCard, load_backend, load_device
from mep_hw.compiler import compile
from mep_hw.data import Data, digits
from mep_hw.errors import CheckpointError, DivergenceError, InputError, ScheduleError
from mep_hw.outersum import OuterSum
from mep_hw.schedule import Outer, Row
from mep_hw.studies import programming
from mep_hw.studies.named import find
from mep_hw.studies.programming import ProgrammingStudy, best_on_digits
from mep_hw.studies.programming_results import COSTS, FIGURES
from mep_hw.studies.programming_run import trained
from mep_hw.studies.programming_variants import DEVICES, RATES, STEP, TASKS, VARIANTS, Task, cards, with_arrays
from mep_hw.substrates.crossbar import Crossbar

TINY = Task("digits", (64, 4, 10), 32, 2, 90, 1, 60)
WIDTH, GAP = 1e-7, 3e-8


def costed(**writing: object) -> BackendCard:
    """The crossbar with numbers for time and energy."""
    card = load_backend("crossbar").model_dump()
    electrical = {"pulse_width": ("s", WIDTH), "voltage_up": ("V", 2.0), "voltage_down": ("V", -2.0)}
    electrical |= {"g_min": ("S", 1e-6), "g_max": ("S", 1e-5), "endurance": ("pulse", 1e9)}
    assumed = {n: {"value": v, "unit": u, "source": "a test"} for n, (u, v) in electrical.items()}
    card["array"]["assumed"] = (card["array"]["assumed"] or {}) | assumed
    card["array"]["circuit"] = (card["array"]["circuit"] or {}) | {
        "gap_s": GAP, "settle_s": 1e-7, "read_s": 1e-6, "read_v": 0.2, "line_f": 1e-16, "driver_j": 1e-14,
        "dac_j": 1e-13, "adc_j": 1e-12,
    }  # fmt: skip
    card["array"]["writing"] |= writing
    return BackendCard.model_validate(card)


def few(images: int) -> Data:
    data = digits()
    return replace(data, x=data.x[:images], y=data.y[:images])


def made(folder: Path, variants: str, cells: str, seeds: tuple[int, ...] = (0,), **more: Any) -> Any:
    told: list[str] = []
    subjects = find("variants", variants.split(","), VARIANTS), find("devices", cells.split(","), DEVICES)
    more = {"backend": with_arrays("crossbar"), "task": TINY} | more
    task, backend = more.pop("task"), more.pop("backend")
    return ProgrammingStudy(task, backend, subjects, seeds, folder, told.append, **more), told


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Runs that only say what they were asked for; the middle rate is the best of held-out samples."""
    calls: list[dict[str, Any]] = []

    def run(task: Task, variant: Any, cards: Any, data: Data, **how: Any) -> dict[str, Any]:
        calls.append(how | {"variant": variant.name, "device": cards[1].name, "images": len(data.x), "data": data})
        accuracy = {RATES[0]: 0.5, RATES[1]: 0.9, RATES[2]: 0.905}[how["lr"]]
        figures = dict.fromkeys(FIGURES, 1.0)
        found = {"lr": how["lr"], "seed": how["seed"], "stopped": None, "accuracy": accuracy, "seconds": 1.0}
        return found | {"curve": [figures | {"accuracy": accuracy}], "frozen": 0.3, "assumed": []}

    monkeypatch.setattr(programming, "trained", run)
    return calls


def test_the_rules_forms_and_devices_of_the_study_are_there() -> None:
    names = [variant.name for variant in VARIANTS]
    assert len(names) == len(set(names))
    assert {"sgd-samples", "sgd-rows", "muon-rows", "muon-8", "dion-4", "dion-8", "dion-16", "dion-32"} <= set(names)
    assert [cell.name for cell in DEVICES] == ["ideal", "ecram", "reram-sb", "reram-es", "pcm", "capacitor"]
    assert [task.sizes for task in TASKS] == [(64, 24, 10), (784, 256, 10)]
    for variant in VARIANTS:
        assert set(variant.fixed) <= set(names) and set(variant.devices) <= {cell.name for cell in DEVICES}
        assert (variant.form == "chosen") == bool(variant.fixed) and (not variant.fixed or len(variant.modes) == 3)


FIXED = [(v, c) for v in VARIANTS for c in DEVICES if v.form != "chosen" and (not v.devices or c.name in v.devices)]


@pytest.mark.parametrize(("variant", "cell"), FIXED, ids=[f"{v.name}-{c.name}" for v, c in FIXED])
def test_a_fixed_form_is_written_in_its_form_and_never_verified(variant: Any, cell: Any) -> None:
    kind = {"rows": Row}.get(variant.form, Outer)
    backend, device = cards(variant, cell, with_arrays("crossbar"))
    update = OuterSum(torch.randn(24, 12), torch.randn(64, 12), 0.01)
    schedule = compile(update, None, backend, device, torch.Generator().manual_seed(0), variant.rule == "hebbian")
    (cycle,) = schedule.cycles
    assert isinstance(cycle, kind)
    if isinstance(cycle, Outer) and variant.form != "transfer":
        assert len(cycle.lengths) == (8 if variant.name == "muon-8" else 12)


def test_the_compiler_may_choose_among_the_fixed_forms_and_verifying() -> None:
    for variant in VARIANTS:
        if variant.form == "chosen":
            backend, _ = cards(variant, DEVICES[1], costed())
            fixed = {mode for name in variant.fixed for mode in find("variants", [name], VARIANTS)[0].modes}
            assert set(backend.write_modes) == fixed | {"cell"}
            assert {find("variants", [name], VARIANTS)[0].settings()["rule"] for name in variant.fixed} == {
                variant.rule
            }


def test_every_pulse_of_the_ideal_cell_is_the_same() -> None:
    built = machine.build(mep_hw.mlp(64, 4, 10), *cards(VARIANTS[1], DEVICES[0], with_arrays("crossbar")), 0)
    assert isinstance(built, Crossbar) and built.banks[0] is not None and built.backend.array is not None
    array = built.card_of(0).array
    assert array is not None
    before = built.read(0).clone()
    built.banks[0].pulse(Row(3 * torch.ones(4, 64, dtype=torch.int)))
    assert torch.allclose(built.read(0) - before, torch.full_like(before, 3 * STEP * array.scale), atol=1e-6)


@pytest.mark.parametrize("name", ["sgd-rows", "dion-4"])
def test_costs_are_those_of_the_machine_epoch_by_epoch(name: str) -> None:
    (variant,), data = find("variants", [name], VARIANTS), few(90)
    both = cards(variant, DEVICES[1], costed())
    found = trained(TINY, variant, both, data, lr=0.06, seed=1, epochs=2)
    run = mep_hw.train(
        mep_hw.mlp(64, 4, 10, seed=1), data, backend=both[0], device=both[1], lr=0.06, epochs=2, batch_size=32, seed=1,
        control=True, progress=False, **variant.settings(),
    )  # fmt: skip
    first, last = found["curve"]
    assert [first["accuracy"], last["accuracy"]] == [row["test_accuracy"] for row in run.history]
    assert (found["accuracy"], found["frozen"], found["stopped"]) == (run.test_accuracy, run.control_accuracy, None)
    assert run.cost.pulses is not None and last["pulses"] == run.cost.pulses > first["pulses"] > 0
    assert last["time_s"] == run.cost.time_s
    cells = 64 * 4 + 4 * 10
    assert last["cell_pulses_mean"] == pytest.approx(run.cost.pulses / cells)
    assert last["cell_pulses_mean"] < last["cell_pulses_p99"] <= last["cell_pulses_max"]
    for row in (first, last):  # one array a coupling and nothing is read, so time is that of the slots
        assert row["time_s"] == pytest.approx(row["slots"] * (WIDTH + GAP)) and row["reads"] == 0
        assert row["energy_j"] > 0 and 0 < row["wear_max"] <= 1.001 * row["cell_pulses_max"] / 1e9
    assert [line.split(" = ")[0] for line in found["assumed"]][:2] == ["pulse_width", "voltage_up"]


def test_tuning_is_judged_on_samples_held_out() -> None:
    (variant,) = find("variants", ["sgd-rows"], VARIANTS)
    found = trained(
        TINY, variant, cards(variant, DEVICES[0], with_arrays("crossbar")), few(60), lr=0.06, seed=0, epochs=1, held=0.2
    )
    assert found["accuracy"] * 12 == pytest.approx(round(found["accuracy"] * 12)) and "frozen" not in found


@pytest.mark.parametrize("error", [DivergenceError, ScheduleError])
def test_a_run_that_cannot_go_on_is_a_result(error: type[InputError], monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*_: object, **__: object) -> None:
        raise error("train", "loss", 9, rule="is too large", fix="lower lr")

    monkeypatch.setattr(mep_hw, "train", train)
    found = trained(
        TINY, VARIANTS[0], cards(VARIANTS[0], DEVICES[0], with_arrays("crossbar")), few(60), lr=1, seed=0, epochs=1
    )
    assert found["accuracy"] == 0.1 and "is too large" in found["stopped"] and "curve" not in found


def test_every_pair_has_the_same_budget(tmp_path: Path, stub: list[dict[str, Any]]) -> None:
    study, told = made(tmp_path, "sgd-rows,muon-outer,dion-8", "ideal,ecram", seeds=(0, 5))
    table = study.run()
    pairs = [
        ("sgd-rows", "ideal"),
        ("dion-8", "ideal"),
        ("sgd-rows", "ecram"),
        ("muon-outer", "ecram"),
        ("dion-8", "ecram"),
    ]
    real = {"ideal": "ideal-pulsed", "ecram": "ecram"}
    tuning = [c for c in stub if c["held"]]
    assert [(c["variant"], c["device"], c["lr"]) for c in tuning] == [(v, real[d], r) for v, d in pairs for r in RATES]
    assert {(c["seed"], c["epochs"], c["held"], c["images"]) for c in tuning} == {(0, 1, 0.15, 60)}
    final = stub[len(tuning) :]
    # The middle rate, which is next to the best and smaller; a seed is finished before the next one starts.
    assert [(c["seed"], c["variant"], c["device"], c["lr"]) for c in final] == [
        (s, v, real[d], RATES[1]) for s in (0, 5) for v, d in pairs
    ]  # fmt: skip
    assert {(c["epochs"], c["held"], c["images"]) for c in final} == {(2, 0.0, 90)}
    assert len(told) == len(table["runs"]) == len(stub) == 15 + 10
    assert json.loads(json.dumps(table)) == json.loads((tmp_path / "programming-digits.json").read_text())


def test_a_study_goes_on_where_it_stopped(tmp_path: Path, stub: list[dict[str, Any]]) -> None:
    assert not made(tmp_path, "sgd-rows", "ideal", hours=0.0)[0].run()["runs"] and not stub
    made(tmp_path, "sgd-rows", "ideal")[0].run()
    assert len(stub) == 4
    table = made(tmp_path, "dion-4,sgd-rows", "ideal", seeds=(0, 1))[0].run()
    assert [(c["variant"], c["seed"]) for c in stub[4:]] == [*[("dion-4", 0)] * 4, ("dion-4", 1), ("sgd-rows", 1)]
    assert [row["seeds"] for row in table["rows"]] == [[0, 1], [0, 1]]
    written = (tmp_path / "programming-digits.json").read_bytes()
    again, told = made(tmp_path, "sgd-rows", "ideal", hours=0.0)
    assert {row["variant"] for row in again.run()["rows"]} == {"dion-4", "sgd-rows"}
    assert not told and (tmp_path / "programming-digits.json").read_bytes() == written


def test_a_part_of_the_samples_is_not_the_first_ones(tmp_path: Path, stub: list[dict[str, Any]]) -> None:
    made(tmp_path, "sgd-rows", "ideal")[0].run()
    data = digits()
    part = stub[-1]["data"]
    assert len({tuple(x.tolist()) for x in part.x} & {tuple(x.tolist()) for x in data.x[:90]}) < 30
    assert torch.equal(part.test_x, data.test_x)


@pytest.mark.parametrize(("change", "message"), [
    ({"task": replace(TINY, epochs=3)}, "task = .*epochs"),
    ({"backend": costed()}, "array = "),
])  # fmt: skip
def test_another_budget_or_array_is_refused(
    change: dict[str, Any], message: str, tmp_path: Path, stub: list[dict[str, Any]]
) -> None:
    made(tmp_path, "sgd-rows", "ideal")[0].run()
    with pytest.raises(CheckpointError, match=message):
        made(tmp_path, "sgd-rows", "ideal", **change)


@pytest.mark.parametrize(("refused", "message"), [
    (lambda folder: made(folder, "dion-16-time", "ecram", backend=bare()), "minimise = time: is not known"),
    (lambda folder: made(folder, "dion-16-time", "pcm"), "variants = dion-16-time: run on none of the devices"),
    (lambda folder: made(folder, "glue", "pcm"), "variants = glue: is not one of sgd-samples, "),
    (lambda folder: with_arrays("cpu"), "backend = cpu: holds weights in registers"),
    (best_on_digits, "holds no finished runs"),
])  # fmt: skip
def test_what_cannot_run_is_refused_before_the_folder_is_made(
    refused: Callable[[Path], Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        refused(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def bare() -> BackendCard:
    """The crossbar without what is needed for time and energy."""
    card = load_backend("crossbar").model_dump()
    card["array"] |= {"circuit": None, "assumed": None}
    return BackendCard.model_validate(card)


def test_the_best_on_the_digits_go_on(tmp_path: Path, stub: list[dict[str, Any]]) -> None:
    made(tmp_path, "sgd-rows,dion-4,muon-outer", "ideal,ecram")[0].run()
    assert best_on_digits(tmp_path) == ["sgd-rows", "dion-4"]  # muon-outer runs on one device only


def test_real_runs_make_a_whole_table(tmp_path: Path) -> None:
    names = "sgd-samples,dion-16,dion-16-rows,dion-16-wear"
    table = made(tmp_path, names, "ecram", backend=costed(), task=replace(TINY, epochs=1))[0].run()
    assert [row["variant"] for row in table["rows"]] == names.split(",")
    assert all(row["time_s"] > 0 and row["energy_j"] > 0 and row["frozen"] > 0 for row in table["rows"])
    by_name = {row["variant"]: row for row in table["rows"]}
    # Where rows can be written, the compiler chooses them at every step. Outer products of four lines can take as few
    # pulses, and in so short a run they leave some undone that rows have written.
    assert all(row["ratio"] < 1.15 for row in table["choices"]) and len(table["choices"]) == len(RATES)
    assert by_name["dion-16-wear"]["pulses"] == pytest.approx(by_name["dion-16-rows"]["pulses"])
    assert by_name["dion-16-rows"]["slots"] > 0 and {w["cost"] for w in table["winners"]} == set(COSTS)


def test_pairs_of_one_sign_train_and_their_cost_is_unknown() -> None:
    (variant,) = find("variants", ["muon-rows"], VARIANTS)
    pcm = find("devices", ["pcm"], DEVICES)[0]
    changed = replace(pcm, array={"writing.refresh_every": 2})
    found = trained(TINY, variant, cards(variant, changed, costed()), few(90), lr=0.02, seed=0, epochs=1)
    assert load_device("pcm").w_min.value == 0
    assert found["curve"][-1]["pulses"] is None and found["curve"][-1]["cell_pulses_mean"] > 0
