"""A run that was stopped, by an exception or by SIGKILL, and resumed, equals the uninterrupted one bit for bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from command import call

import mep_hw
from mep_hw.errors import CheckpointError
from mep_hw.estimator import make
from mep_hw.files import read_tensors
from mep_hw.machine import build, cards
from mep_hw.rules import Adam
from mep_hw.training.checkpoint import restore
from mep_hw.training.loop import StepInfo
from mep_hw.training.step import TrainingStep

EPOCHS = 4
TIMED = ("seconds",)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Products are rounded differently by other numbers of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Stopped(Exception):
    """Stands for a crash."""


def small_data() -> Any:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(60, 6, generator=generator), torch.randint(3, (60,), generator=generator)
    return (x[:40], y[:40]), (x[40:], y[40:])


def train(path: Path, stop_in: int | None = None, resume: bool = False, **options: Any) -> mep_hw.Run:
    def watch(info: StepInfo) -> None:
        if info.epoch == stop_in and info.step == 2:
            raise Stopped

    model = mep_hw.mlp(6, 7, 5, 3, seed=1)
    settings = {"batch_size": 16, "epochs": EPOCHS, "lr": 0.05} | options
    return mep_hw.train(model, small_data(), checkpoint=path, resume=resume, on_step=watch, seed=1, **settings)


def same(one: Path, other: Path) -> None:
    """All tensors bit-identical, and all that is recorded, but for times."""
    (tensors, meta), (others, other_meta) = read_tensors(one), read_tensors(other)
    assert tensors.keys() == others.keys()
    for name, value in tensors.items():
        assert value.dtype == others[name].dtype and torch.equal(value, others[name]), name
    assert untimed(json.loads(meta.pop("history"))) == untimed(json.loads(other_meta.pop("history")))
    for name in TIMED:
        del meta[name], other_meta[name]
    assert meta == other_meta


def untimed(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{key: value for key, value in row.items() if key not in TIMED} for row in history]


@pytest.mark.parametrize(
    "options",
    [
        {"rule": "sgd"},
        {"rule": "adam", "lr": 0.01, "weight_decay": 0.01, "lr_schedule": "constant"},
        {"estimator": "random_sign"},
        {"validation": 0.25},
        {"backend": "reference", "spectral_bound": 0.5, "warmup": 1.5, "centre": True},
        {"estimator": "continual", "rule": "sgd", "momentum": 0.0, "lr": 0.0005, "beta": 0.02},  # lr well below beta
        {"rule": "dion", "clip": 0.5, "weight_decay": 0.01},
        {"rule": "natural", "spectral_bound": 0.5},
    ],
    ids=["sgd", "adam", "random_sign", "validation", "reference", "continual", "dion", "natural"],
)
@pytest.mark.parametrize("stop_in", [2, EPOCHS])
def test_a_stopped_run_resumes_to_the_same_bits(options: dict[str, Any], stop_in: int, tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", **options)
    with pytest.raises(Stopped):
        train(tmp_path / "parts", stop_in, **options)
    assert len(json.loads(read_tensors(tmp_path / "parts")[1]["history"])) == stop_in - 1
    resumed = train(tmp_path / "parts", resume=True, **options)
    same(tmp_path / "whole", tmp_path / "parts")
    assert untimed(resumed.history) == untimed(whole.history)
    assert (resumed.test_accuracy, resumed.cost) == (whole.test_accuracy, whole.cost)
    for name, value in whole.model.tensors().items():
        assert torch.equal(value, resumed.model.tensors()[name])


def test_stopped_twice(tmp_path: Path) -> None:
    train(tmp_path / "whole")
    for stop_in in (2, 4):
        with pytest.raises(Stopped):
            train(tmp_path / "parts", stop_in, resume=True)
    train(tmp_path / "parts", resume=True)
    same(tmp_path / "whole", tmp_path / "parts")


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    first = train(tmp_path / "run")
    content = (tmp_path / "run").read_bytes()
    again = train(tmp_path / "run", resume=True)
    assert (tmp_path / "run").read_bytes() == content
    assert (again.test_accuracy, again.history) == (first.test_accuracy, first.history)


def test_resuming_with_nothing_there_starts_anew(tmp_path: Path) -> None:
    train(tmp_path / "whole")
    train(tmp_path / "other", resume=True)
    same(tmp_path / "whole", tmp_path / "other")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": 0.06}, ": lr = 0.05: the run to resume was asked for 0.06; resume with the settings"),
        ({"epochs": 5}, ": epochs = 4: the run to resume was asked for 5"),
        ({"rule": "sgd"}, ": rule = adam: the run to resume was asked for sgd"),
        ({"backend": "reference"}, ": backend = cpu: the run to resume was asked for reference"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_other_settings_are_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    train(tmp_path / "run")
    content = (tmp_path / "run").read_bytes()
    with pytest.raises(CheckpointError) as caught:
        train(tmp_path / "run", resume=True, **options)
    assert message in str(caught.value)
    assert (tmp_path / "run").read_bytes() == content


FLAGS = "train --model 64-8-10 --batch-size 64 --epochs 6 --seed 2 --threads 1 --json".split()


def test_killed_by_the_system_and_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    expected = call(capsys, *FLAGS, "--out", whole).json
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "mep_hw", *FLAGS, "--out", str(killed)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    checkpoint = killed / "checkpoint.safetensors"
    try:
        while epochs_in(checkpoint) < 2:
            assert process.poll() is None
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    assert 2 <= epochs_in(checkpoint) < 6
    assert not (killed / "run.json").exists()
    resumed = call(capsys, *FLAGS, "--out", killed, "--resume").json
    assert resumed | {"seconds": 0} == expected | {"seconds": 0}
    same(whole / "checkpoint.safetensors", checkpoint)
    histories = [json.loads((folder / "run.json").read_text())["history"] for folder in (whole, killed)]
    assert untimed(histories[0]) == untimed(histories[1])
    assert {"run.json", "history.csv", "curve.png"} <= {path.name for path in killed.iterdir()}


def epochs_in(path: Path) -> int:
    """How many epochs the checkpoint holds; it is replaced in one piece, so it is whole whenever it is there."""
    return len(json.loads(read_tensors(path)[1]["history"])) if path.exists() else 0


def test_memory_comes_back_to_where_the_rule_has_it(tmp_path: Path) -> None:
    """The device `meta` stands for an accelerator: entries move there one by one, and counters stay on the CPU."""
    saved = train(tmp_path / "run", rule="adam", epochs=1)
    substrate = build(mep_hw.mlp(6, 7, 5, 3, seed=1), *cards("cpu"), seed=1)
    step = TrainingStep(substrate, make("centered", 0.001), Adam(), lr=0.05)
    place = step.memory["weights.0"]["m"].to("meta")
    step.memory["weights.0"]["m"] = place
    restore(tmp_path / "run", mep_hw.Run(substrate.model, saved.settings), step)
    assert step.memory["weights.0"]["m"].device == place.device
    assert step.memory["weights.0"]["v"].device.type == step.memory["weights.0"]["t"].device.type == "cpu"
    assert int(step.memory["weights.0"]["t"]) == 3
