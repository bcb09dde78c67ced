"""The ablation: what every source changes, what the study runs and resumes, and what its table says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import mep_hw
from mep_hw import machine
from mep_hw.cards import ArrayOptions, BackendCard, DeviceCard, load_backend, load_device
from mep_hw.data import digits
from mep_hw.errors import CheckpointError, DivergenceError, InputError
from mep_hw.schedule import Row
from mep_hw.studies.error_cards import cards_with
from mep_hw.studies.error_sources import SOURCES, Source
from mep_hw.studies.named import find
from mep_hw.studies.nonidealities import NonidealityStudy
from mep_hw.studies.nonidealities_plot import plot_nonidealities
from mep_hw.studies.nonidealities_table import COLUMNS, cells, references, rows
from mep_hw.substrates.base import Substrate
from mep_hw.substrates.crossbar import Crossbar


def source(name: str) -> Source:
    return find("sources", [name], SOURCES)[0]


SMALL = [replace(source("step"), strengths=(0.05,)), replace(source("phase-offset"), strengths=(0.01, 0.5))]
EVERY = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Studies of 200 digits."""
    data = digits()
    small = replace(data, x=data.x[:200], y=data.y[:200])
    monkeypatch.setattr("mep_hw.studies.nonidealities.as_data", lambda _: small)


def study(folder: Path, sources: list[Source] = SMALL, seeds: tuple[int, ...] = (0,), epochs: int = 1) -> Any:
    told: list[str] = []
    made = NonidealityStudy(
        lambda seed: mep_hw.mlp(64, 4, 10, seed=seed), "64-4-10", epochs, seeds, sources, folder, told.append
    )
    return made, told


def numbers(block: Any) -> Any:
    """A card's blocks without the words that say where a number comes from."""
    if isinstance(block, dict):
        return {key: numbers(value) for key, value in block.items() if key not in ("source", "reference", "summary")}
    return block


def after_training(backend: BackendCard, device: DeviceCard) -> tuple[torch.Tensor, ...]:
    """Forward and transposed drives in both phases, and the weights, after ten updates in place."""
    torch.manual_seed(0)
    model = mep_hw.mlp(64, 4, 10)
    machines: list[Substrate] = []
    mep_hw.train(
        model, (torch.rand(80, 64), torch.arange(80) % 10), backend=backend, device=device, epochs=1, batch_size=8,
        lr=0.02, progress=False, on_step=lambda info: machines.append(info.machine),
    )  # fmt: skip
    built = machines[-1]
    assert isinstance(built, Crossbar)
    bank = built.banks[0]
    assert bank is not None
    forward, back = torch.rand(5, 64), torch.rand(5, 4)
    reads = [bank.product(forward, phase) for phase in (0, 1)] + [bank.product_transposed(back, p) for p in (0, 1)]
    return (*reads, built.read(0))


@pytest.fixture(scope="module")
def clean() -> tuple[torch.Tensor, ...]:
    return after_training(*cards_with({}))


@EVERY
def test_at_its_ideal_strength_a_source_changes_nothing(source: Source) -> None:
    assert source.cards(source.ideal) == cards_with({})


@EVERY
def test_every_strength_makes_cards_of_its_own(source: Source) -> None:
    made = [cards_with({}), *map(source.cards, source.strengths)]
    assert all(a != b for k, a in enumerate(made) for b in made[:k]) and len(made) >= 4


@EVERY
def test_at_its_worst_a_source_changes_what_the_machine_does(source: Source, clean: tuple[torch.Tensor, ...]) -> None:
    try:
        found = after_training(*source.cards(source.strengths[-1]))
    except DivergenceError:
        return  # as the clean machine did not
    assert any(not torch.equal(a, b) for a, b in zip(found, clean, strict=True))


@EVERY
def test_both_reading_directions_are_alike(source: Source) -> None:
    for strength in source.strengths:
        array = source.cards(strength)[0].array
        assert array is not None and array.forward == array.transposed


def test_the_base_line_is_free_of_errors() -> None:
    backend, device = cards_with({})
    assert backend.array is not None
    shipped = load_backend("crossbar").array
    assert shipped is not None
    ideal = ArrayOptions(
        rows=128, cols=128, scale=2.0, scale_by="largest", pairing="device", writing=shipped.writing,
        circuit=shipped.circuit, assumed=shipped.assumed,
    )  # fmt: skip
    assert backend.array == ideal
    assert numbers(backend.training.model_dump()) == numbers(load_backend("crossbar").training.model_dump())
    model = mep_hw.mlp(64, 24, 10)
    built = machine.build(model, backend, device, 0)
    assert isinstance(built, Crossbar) and not built.noisy
    x = torch.rand(7, 64)
    bank = built.banks[0]
    assert bank is not None
    assert torch.allclose(bank.product(x), x @ built.read(0).T, atol=1e-5)
    before = built.read(0).clone()
    ones, scale = torch.ones(24, 64, dtype=torch.int), 2 * float(model.weights[0].abs().max())
    bank.pulse(Row(3 * ones))  # every cell alike, whatever it holds
    assert torch.allclose(built.read(0) - before, torch.full_like(before, 3 * 0.0002 * scale), atol=1e-6)


def test_all_at_factor_one_is_the_bundled_pair() -> None:
    backend, device = source("all").cards(1)
    own, cell = load_backend("crossbar"), load_device("ecram")
    assert backend.model_dump() | {"name": "crossbar"} == own.model_dump()
    mine, theirs = numbers(device.model_dump()), numbers(cell.model_dump())
    assert mine.pop("electrical") != theirs.pop("electrical")  # conductances, which play no part here
    assert mine["stuck"].pop("share")["value"] == 0 and theirs["stuck"].pop("share")["value"] is None  # the same cells
    assert mine | {"name": "ecram"} == theirs


def test_all_scales_every_error() -> None:
    backend, device = source("all").cards(4)
    assert backend.array is not None and device.noise is not None
    assert (backend.array.forward.dac.bits, backend.array.transposed.adc.bits) == (5, 7)  # two bits less
    assert backend.array.read_noise.absolute == pytest.approx(0.02)
    assert device.dw_min.value == pytest.approx(0.008) and device.noise.cycle.value == pytest.approx(1.2)


def test_a_place_that_is_not_there_is_a_fault_of_ours() -> None:
    with pytest.raises(KeyError, match="array.read_noise.absolut"):
        cards_with({"array.read_noise.absolut": 0.1})


def test_the_table_agrees_with_the_runs(tmp_path: Path) -> None:
    made, told = study(tmp_path, seeds=(0, 1))
    table = made.run()
    assert json.loads((tmp_path / "nonidealities.json").read_text()) == table
    assert len(told) == len(table["runs"]) == 2 * (2 + 3)
    runs = table["runs"]
    assert set(table["references"]) == {"base line", "digital", "frozen"}
    assert table["references"]["frozen"]["accuracies"] == [runs[f"base line / seed {s}"]["frozen"] for s in (0, 1)]
    assert [(row["source"], row["strength"]) for row in table["rows"]] == [
        ("phase-offset", 0.01), ("phase-offset", 0.5), ("step", 0.05),
    ]  # fmt: skip
    for row in table["rows"]:
        own = [runs[f"{row['source']} / {row['strength']:g} / seed {s}"]["accuracy"] for s in (0, 1)]
        base = [runs[f"base line / seed {s}"]["accuracy"] for s in (0, 1)]
        assert row["accuracies"] == own
        assert row["points_lost"] == pytest.approx(100 * (sum(base) - sum(own)) / 2)
    plot_nonidealities(table, tmp_path / "small.png")
    assert (tmp_path / "small.png").read_bytes().startswith(b"\x89PNG")


def test_every_run_gets_its_own_machine_and_the_same_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []

    def train(model: mep_hw.Model, data: object, **options: Any) -> SimpleNamespace:
        calls.append(options | {"weights": model.weights[0]})
        return SimpleNamespace(test_accuracy=0.5, control_accuracy=0.4)

    monkeypatch.setattr(mep_hw, "train", train)
    study(tmp_path, seeds=(3,), epochs=2)[0].run()
    machines = [(options.pop("backend"), options.pop("device")) for options in calls]
    wanted = [
        cards_with({}),
        (load_backend("cpu"), load_device("ideal")),
        *(s.cards(x) for s in SMALL for x in s.strengths),
    ]
    assert machines == wanted
    assert [options.pop("control") for options in calls] == [True, False, False, False, False]
    assert all(torch.equal(options.pop("weights"), mep_hw.mlp(64, 4, 10, seed=3).weights[0]) for options in calls)
    own = load_backend("crossbar").training.model_dump()
    assert all(options == own | {"epochs": 2, "seed": 3, "progress": False} for options in calls)


def test_the_mildest_strength_comes_first() -> None:
    runs = [
        {"source": name, "strength": strength, "seed": 0, "accuracy": 0.5, "diverged": False}
        for name, strength in (("base line", None), ("adc-bits", 4), ("adc-bits", 8), ("stuck", 0.2), ("stuck", 0.1))
    ]
    assert [row["strength"] for row in rows(runs)] == [8, 4, 0.1, 0.2]


def test_losses_are_against_the_same_seed() -> None:
    def run(source: str, strength: float | None, seed: int, accuracy: float, **more: Any) -> dict[str, Any]:
        return {"source": source, "strength": strength, "seed": seed, "accuracy": accuracy, "diverged": False} | more

    runs = [
        run("base line", None, 0, 0.9, frozen=0.5), run("base line", None, 1, 0.8, frozen=0.4),
        run("digital", None, 0, 0.95), run("step", 0.05, 1, 0.7), run("phase-offset", 0.5, 0, 0.1, diverged=True),
        run("phase-offset", 0.5, 1, 0.6),
    ]  # fmt: skip
    offset, step = rows(runs)
    assert step["points_lost"] == pytest.approx(10) and step["seeds"] == [1]
    assert offset["points_lost"] == pytest.approx((80 + 20) / 2)
    assert (offset["diverged"], offset["mean"], offset["spread"]) == (1, pytest.approx(0.35), pytest.approx(0.25))
    assert references(runs)["frozen"]["mean"] == pytest.approx(0.45)
    shown = cells({"references": references(runs), "rows": [step, offset]})
    assert all(len(line) == len(COLUMNS) for line in shown)
    assert shown[-1][:8] == ["phase-offset", "0.5", "drive", "35.0", "25.0", "50.0", 2, 1]
    assert shown[-2][-2] == ""  # nothing diverged


def test_a_study_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = study(tmp_path / "whole")[0].run()
    real, calls = mep_hw.train, 0

    def killed(*args: Any, **options: Any) -> mep_hw.Run:
        nonlocal calls
        calls += 1
        if calls > 3:
            raise KeyboardInterrupt
        return real(*args, **options)

    monkeypatch.setattr(mep_hw, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        study(tmp_path / "cut")[0].run()
    assert len(json.loads((tmp_path / "cut" / "nonidealities.json").read_text())["runs"]) == 3
    monkeypatch.setattr(mep_hw, "train", real)
    made, told = study(tmp_path / "cut")
    resumed = made.run()
    assert [line.split(":")[0] for line in told] == ["1 of 2", "2 of 2"]
    assert resumed["rows"] == whole["rows"] and resumed["references"] == whole["references"]


def test_more_sources_and_seeds_join_the_table(tmp_path: Path) -> None:
    study(tmp_path, SMALL[:1])[0].run()
    made, told = study(tmp_path, SMALL[1:], seeds=(1, 1))
    table = made.run()
    assert len(told) == 2 + 2
    assert [(row["source"], row["seeds"]) for row in table["rows"]] == [
        ("phase-offset", [1]), ("phase-offset", [1]), ("step", [0]),
    ]  # fmt: skip


def test_a_run_that_diverges_guesses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = mep_hw.train

    def train(*args: Any, **options: Any) -> mep_hw.Run:
        if options["device"] is not None and options["device"].dw_min.value == 0.05:
            raise DivergenceError("train", "loss", 99.0, rule="training diverged", fix="lower lr")
        return real(*args, **options)

    monkeypatch.setattr(mep_hw, "train", train)
    table = study(tmp_path, SMALL[:1])[0].run()
    (row,) = table["rows"]
    assert (row["mean"], row["diverged"]) == (pytest.approx(0.1), 1)


def test_a_file_of_another_budget_or_model_is_refused(tmp_path: Path) -> None:
    study(tmp_path, SMALL[:1])[0].run()
    with pytest.raises(CheckpointError, match="training = .*: this study has"):
        study(tmp_path, epochs=2)
    (tmp_path / "nonidealities.json").write_text("{}")
    with pytest.raises(CheckpointError, match="holds no study of error sources"):
        study(tmp_path)


def test_a_model_of_another_shape_is_refused_before_the_folder_is_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="64"):
        NonidealityStudy(lambda _: mep_hw.mlp(5, 4, 10), "5-4-10", 1, [0], SMALL, tmp_path / "new", print)
    assert not (tmp_path / "new").exists()
