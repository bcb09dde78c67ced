"""`mep-hw train`: flags and file reach the run, the record is printed, and --out leaves what it promises."""

from __future__ import annotations

import csv
import inspect
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from command import call

import mep_hw
from mep_hw.cli.options import TrainOptions
from mep_hw.cli.train import OWN
from mep_hw.files import read_tensors
from mep_hw.scoring import Score, score

SMALL = ("--model", "64-8-10", "--epochs", "1")
KEYS = "backend device rule data model epochs seed".split()
KEYS += "test_accuracy control_accuracy test_loss control_loss seconds cost".split()
COSTS = "time_s energy_j cycles slots pulses line_pulses reads wear_max".split()
COLUMNS = "epoch lr_factor train_loss train_accuracy free_sweeps residual".split()
COLUMNS += "validation_accuracy validation_loss seconds".split()
FILES = {"checkpoint.safetensors", "run.json", "history.csv", "curve.png"}

# Every option with a value that is not its default, for the cpu backend.
ALL: dict[str, object] = {
    "backend": "reference", "device": "ideal", "data": "digits", "model": "64-8-6-10", "cost": "cross_entropy",
    "activation": "tanh", "rule": "dion", "lr": 0.002, "epochs": 2, "batch_size": 300, "beta": 0.2, "momentum": 0.8,
    "weight_decay": 0.001, "lr_schedule": "constant", "warmup": 0.5, "spectral_bound": 0.8, "centre": True,
    "label_smoothing": 0.1, "rank": 3, "error_feedback": False, "clip": 0.5, "bias_lr": 0.01,
    "spectral_method": "normalise",
    "free_sweeps": 6, "nudged_sweeps": 3, "estimator": "one_sided", "validation": 0.25, "seed": 5, "threads": 2,
    "control": True, "out": "run", "resume": True,
    "minimise": None,  # of machines with arrays, see the test of it
}  # fmt: skip


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def settings(folder: Path) -> dict[str, object]:
    return json.loads((folder / "run.json").read_text())["settings"]


def flags(values: dict[str, object]) -> list[str]:
    spelled: list[str] = []
    for name, value in values.items():
        if value is None:
            continue
        flag = ("--no-" if value is False else "--") + name.replace("_", "-")
        spelled += [flag] if isinstance(value, bool) else [flag, str(value)]
    return spelled


def test_the_json_is_one_object_with_the_documented_keys(capsys: pytest.CaptureFixture[str]) -> None:
    printed = call(capsys, "train", *SMALL, "--seed", 3, "--json").json
    assert list(printed) == KEYS and list(printed["cost"]) == COSTS
    assert [printed[key] for key in KEYS[:7]] == ["cpu", "ideal", "adam", "digits", "64-8-10", 1, 3]
    assert 0 < printed["test_accuracy"] <= 1 and printed["control_accuracy"] is None
    assert printed["cost"]["energy_j"] is None
    run = mep_hw.train(mep_hw.mlp(64, 8, 10, seed=3), epochs=1, seed=3)
    assert run.as_dict() | {"seconds": 0} == printed | {"seconds": 0}


def test_people_see_the_same_and_what_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    shown = call(capsys, "train", *SMALL, "--control")
    assert (shown.code, shown.err) == (0, "")
    rows = [line.strip().split("  ") for line in shown.out.splitlines() if line]
    words = {row[0]: row[-1].strip() for row in rows}
    assert words["model"] == "64-8-10" and float(words["test accuracy"]) > 0 and float(words["control accuracy"]) > 0
    assert words["energy (J)"] == "unknown" and int(words["cycles"]) > 0
    assert "control" not in call(capsys, "train", *SMALL).out


def test_the_default_model_fits_the_data(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[str] = []

    def fake(model: mep_hw.Model, **options: object) -> mep_hw.Run:
        chosen.append(model.name)
        raise mep_hw.InputError("test", rule="stops here", fix="none")

    monkeypatch.setattr(mep_hw, "train", fake)
    call(capsys, "train")
    call(capsys, "train", "--data", "mnist")
    assert chosen == ["64-128-10", "784-512-10"]


def test_every_argument_of_train_is_an_option() -> None:
    mine = TrainOptions.model_fields.keys() - OWN
    theirs = inspect.signature(mep_hw.train).parameters.keys() - {"model", "checkpoint", "group", "on_step", "progress"}
    assert mine == theirs
    defaults = {name: info.default for name, info in TrainOptions.model_fields.items() if name in mine - {"data"}}
    assert defaults == {n: p.default for n, p in inspect.signature(mep_hw.train).parameters.items() if n in defaults}
    assert ALL.keys() == TrainOptions.model_fields.keys()
    same = [name for name, info in TrainOptions.model_fields.items() if ALL[name] == info.default]
    assert same == ["data", "minimise"]


@pytest.fixture(params=["flags", "file"])
def trained(request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    values = ALL | {"out": str(tmp_path / "run")}
    if request.param == "flags":
        called = call(capsys, "train", *flags(values))
    else:
        (tmp_path / "run.yaml").write_text(yaml.safe_dump(values))
        called = call(capsys, "train", "--config", tmp_path / "run.yaml")
    assert (called.code, called.err) == (0, "")
    return tmp_path / "run"


def test_flags_and_file_reach_the_run_and_leave_its_files(trained: Path) -> None:
    used = settings(trained)
    not_settings = OWN - {"model"} | {"control", "resume"}
    assert used == {name: value for name, value in ALL.items() if name not in not_settings}
    assert torch.get_num_threads() == 2
    assert {path.name for path in trained.iterdir()} == FILES
    whole = json.loads((trained / "run.json").read_text())
    assert list(whole) == [*KEYS, "settings", "history"] and whole["control_accuracy"] is not None
    with (trained / "history.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [{k: float(v) for k, v in row.items()} for row in table] == whole["history"]
    assert list(table[0]) == COLUMNS
    assert (trained / "curve.png").read_bytes().startswith(b"\x89PNG")
    model = mep_hw.load(trained / "checkpoint.safetensors")
    assert model.loss.name == "cross_entropy"
    assert [layer.activation for layer in model.spec.layers] == ["tanh", "tanh", None]


def test_given_flags_win_over_the_file_and_the_file_over_defaults(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.yaml").write_text("model: 64-8-10\nepochs: 3\nbatch_size: 700\nlr: 1e-2\ncontrol: true\nseed: 9\n")
    flags = ("--config", tmp_path / "run.yaml", "--epochs", 1, "--seed", 0, "--no-control", "--out", tmp_path / "run")
    printed = call(capsys, "train", *flags, "--json").json
    assert (printed["epochs"], printed["seed"], printed["control_accuracy"]) == (1, 0, None)
    used = settings(tmp_path / "run")
    assert (used["batch_size"], used["lr"], used["estimator"]) == (700, 0.01, "centered")


def test_a_model_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "net.yaml"
    convolution = "{conv: {channels: 2, kernel: 3}, after: [{pool: avg, size: 2}]}"
    path.write_text(f"input: [1, 8, 8]\nlayers:\n  - {convolution}\n  - {{dense: 10}}\n")
    printed = call(capsys, "train", "--model", path, "--epochs", 1, "--batch-size", 200, "--json").json
    assert printed["model"] == "1x8x8-2x3x3-10"


def test_the_checkpoint_holds_the_model_that_the_reported_accuracy_is_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With validation the best epoch is reported, which here is the first, because the scores are made up."""
    made_up = iter([Score(0.9, 1.0), Score(0.1, 1.0)])
    monkeypatch.setattr("mep_hw.training.loop.score", lambda *given: next(made_up, None) or score(*given))
    flags = ("--model", "64-24-10", "--epochs", 2, "--lr", 0.02, "--validation", 0.2, "--out", tmp_path, "--json")
    run = call(capsys, "train", *flags).json
    tensors, _ = read_tensors(tmp_path / "checkpoint.safetensors")
    assert not torch.equal(tensors["weights.1"], tensors["best.weights.1"])
    again = call(capsys, "evaluate", "--checkpoint", tmp_path / "checkpoint.safetensors", "--json").json
    assert again["accuracy"] == run["test_accuracy"]


def start(folder: Path, epochs: int) -> subprocess.Popen[str]:
    flags = ["--model", "64-8-10", "--epochs", str(epochs), "--out", str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "mep_hw", "train", *flags]
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # shells let their background jobs ignore it
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed
    )


def test_ctrl_c_leaves_the_checkpoint_and_says_where(tmp_path: Path) -> None:
    process = start(tmp_path / "run", 1000)
    checkpoint = tmp_path / "run" / "checkpoint.safetensors"
    while not checkpoint.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err == f"mep-hw: interrupted; the last whole epoch is in {checkpoint}, go on with --resume\n"
    assert [path.name for path in checkpoint.parent.iterdir()] == [checkpoint.name]
    assert read_tensors(checkpoint)[1]["history"]


def test_ctrl_c_before_the_first_epoch_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mep_hw.training.loop._epoch", stop)
    shown = call(capsys, "train", *SMALL, "--out", tmp_path / "a" / "b")
    assert (shown.code, shown.out, shown.err) == (130, "", "mep-hw: interrupted\n")
    assert not list(tmp_path.iterdir())


def test_a_fault_of_ours_keeps_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("mep_hw.training.loop._epoch", fail)
    with pytest.raises(ZeroDivisionError):
        mep_hw.cli.main(["train", *SMALL, "--out", str(tmp_path / "run")])
    assert not list(tmp_path.iterdir())


def test_an_objective_reaches_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ("train", "--backend", "crossbar", "--rule", "dion", "--rank", 2, "--minimise", "time", *SMALL)
    assert call(capsys, *line, "--out", tmp_path / "run").code == 0
    assert settings(tmp_path / "run")["minimise"] == "time"
