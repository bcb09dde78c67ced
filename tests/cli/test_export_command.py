"""`mep-hw export nir`, NIR files as models of other commands, and refusals in one line without files."""

from __future__ import annotations

from pathlib import Path

import nir
import pytest
import torch
from command import call

import mep_hw
from mep_hw.export import from_nir


def test_a_checkpoint_is_exported_and_trained_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = mep_hw.mlp(64, 8, 10, seed=4)
    model.save(tmp_path / "m.safetensors")
    out = tmp_path / "m.nir"
    report = call(capsys, "export", "nir", tmp_path / "m.safetensors", "--out", out, "--json").json
    assert report == {
        "file": str(out), "bytes": out.stat().st_size, "model": "64-8-10", "profile": "rate", "nodes": 7, "edges": 7,
        "nudge": None, "form": "matrices",
    }  # fmt: skip
    assert all(torch.equal(a, b) for a, b in zip(from_nir(out).weights, model.weights, strict=True))
    found = call(capsys, "evaluate", "--checkpoint", out, "--json").json
    assert found["accuracy"] == mep_hw.evaluate(model, "digits").accuracy
    trained = call(capsys, "train", "--model", out, "--epochs", 2, "--json").json
    assert trained["model"] == "64-8-10" and trained["test_accuracy"] > found["accuracy"]


def test_nudge_form_and_seed_reach_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "m.nir"
    shown = call(capsys, "export", "nir", "5-4-3", "--out", out, "--nudge", -0.25, "--seed", 2)
    assert (shown.code, shown.err) == (0, "") and "matrices" in shown.out and "-0.25" in shown.out
    assert nir.read(out).nodes["input"].input_type["input"].tolist() == [8]
    assert torch.equal(from_nir(out).weights[0], mep_hw.mlp(5, 4, 3, seed=2).weights[0])
    assert call(capsys, "export", "nir", "5-4-3", "--out", out, "--form", "forward", "--json").json["nodes"] == 6


def test_the_spiking_profile_tells_its_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "m.nir"
    options = ("--profile", "spiking", "--samples", 40, "--json")
    report = call(capsys, "export", "nir", "64-8-10", "--out", out, *options).json
    assert report["samples"] == 40 and report["data"] == "digits" and 0 < report["rate_error"] < 0.1
    assert nir.read(out).metadata["mep_profile"] == "spiking"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("5-4-3 --profile spiking --nudge 0.5", "export: nudge = 0.5: has no effect beside --profile spiking"),
        ("5-4-3 --profile spiking --form forward", "export: form = forward: has no effect beside --profile spiking"),
        ("5-4-3 --data digits", "export: data = digits: has no effect beside --profile rate"),
        ("5-4-3 --samples 10", "export: samples = 10: has no effect beside --profile rate"),
        ("5-4-3 --profile spiking", "data: x values per sample = 64: the model takes 5"),
        ("5-4-3 --profile pulses", "Invalid value for '--profile'"),
        ("absent.safetensors", "absent.safetensors: does not exist"),
        ("absent.nir", "absent.nir: does not exist"),
        ("absent.nir --seed 1", "export: seed = 1: has no effect on a file that holds weights"),
        ("5-4-3 --nudge 0", "export: nudge = 0.0: must be a number above -1, not 0"),
    ],
)
def test_bad_input_is_told_in_one_line(
    args: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = call(capsys, "export", "nir", *args.split(), "--out", "m.nir")
    assert (shown.code, shown.out) == (2, "")
    assert message in shown.err and shown.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_nir_file_brings_its_activation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, "export", "nir", "64-8-10", "--out", tmp_path / "m.nir")
    shown = call(capsys, "train", "--model", tmp_path / "m.nir", "--activation", "tanh")
    assert shown.code == 2 and "activation = tanh: is part of a model given as a file" in shown.err
