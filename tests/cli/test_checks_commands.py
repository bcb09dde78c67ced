"""`evaluate`, `gradcheck`, `conformance` and `bench`: they print what the function behind them returns."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from command import call

import mep_hw
from mep_hw import conformance
from mep_hw.gradcheck import gradient_check


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    mep_hw.mlp(64, 8, 10, seed=3).save(tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def test_evaluate(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = call(capsys, "evaluate", "--checkpoint", saved, "--backend", "reference", "--seed", 2, "--json").json
    assert list(printed) == ["backend", "device", "data", "model", "accuracy", "loss", "seconds", "cost"]
    expected = mep_hw.evaluate(mep_hw.load(saved), backend="reference", seed=2).as_dict()
    assert printed | {"seconds": 0} == expected | {"seconds": 0}
    assert printed["backend"] == "reference" and set(printed["cost"].values()) == {None}


def test_evaluate_for_people(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = call(capsys, "evaluate", "--checkpoint", saved)
    assert (shown.code, shown.err) == (0, "")
    assert f"{mep_hw.evaluate(mep_hw.load(saved)).accuracy:.4g}" in shown.out
    assert "time_s: unknown" in shown.out


def test_gradcheck(capsys: pytest.CaptureFixture[str]) -> None:
    flags = "--model 6-5-3 --backend reference --samples 16 --beta 1e-3 --estimator one_sided --seed 4"
    printed = call(capsys, "gradcheck", *flags.split(), "--json").json
    documented = ["backend", "model", "beta", "layers", "min_cosine", "max_norm_error"]
    assert [key for key in printed if key not in ("estimator", "samples", "share")] == documented
    assert [list(layer) for layer in printed["layers"]] == [["name", "cosine", "norm_ratio"]] * 4
    model = mep_hw.mlp(6, 5, 3, seed=4)
    expected = gradient_check(model, backend="reference", samples=16, beta=1e-3, estimator="one_sided", seed=4)
    assert printed == expected.as_dict()
    assert printed["min_cosine"] > 0.999


def test_gradcheck_of_a_saved_model_as_trained(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--checkpoint", saved, "--data", "digits", "--samples", 20, "--as-trained", "--json")
    printed = call(capsys, "gradcheck", *flags).json
    model = mep_hw.load(saved)
    before = copy.deepcopy(model.weights)
    assert printed == gradient_check(model, "digits", samples=20, as_trained=True).as_dict()
    assert all(bool((a == b).all()) for a, b in zip(before, model.weights, strict=True))


def test_gradcheck_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    shown = call(capsys, "gradcheck", "--model", "6-5-3", "--samples", 8)
    assert (shown.code, shown.err) == (0, "")
    for word in ("weights 1", "biases 2", "min cosine", "max norm error"):
        assert word in shown.out


def test_conformance(capsys: pytest.CaptureFixture[str]) -> None:
    printed = call(capsys, "conformance", "--backend", "cpu", "--check", "refuse", "--check", "seed", "--json").json
    assert printed == {"backend": "cpu", "passed": ["refuse", "seed"], "failed": [], "unsupported": []}


def test_conformance_excuses_with_a_reason_and_fails_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (mep_hw.cards.root("backends") / "cpu" / "card.yaml").read_text(encoding="utf-8")
    excused = "unsupported: {bounds: no cells}"
    card = tmp_path / "mine.yaml"
    card.write_text(text.replace("unsupported: {}", excused).replace("batch_invariance: 1.0e-4", "batch_invariance: 0"))
    flags = ("--backend", card, "--check", "bounds", "--check", "batch_invariance")
    result = call(capsys, "conformance", *flags, "--json")
    assert (result.code, result.err) == (1, "")
    expected = conformance.run(card, ["bounds", "batch_invariance"]).as_dict()
    assert expected["failed"] == ["batch_invariance"]
    assert expected["unsupported"] == [{"check": "bounds", "reason": "no cells"}]
    assert json.loads(result.out) == expected
    shown = call(capsys, "conformance", *flags)
    assert shown.code == 1 and "no cells" in shown.out and "must be at most 0" in shown.out
    wrong = call(capsys, "conformance", *flags, "--unsupported", "--check", "bounds", "--json")
    assert wrong.code == 1 and '"failed": ["batch_invariance", "bounds"]' in wrong.out


def test_conformance_knows_its_checks(capsys: pytest.CaptureFixture[str]) -> None:
    shown = call(capsys, "conformance", "--backend", "cpu", "--check", "sead")
    assert (shown.code, shown.out) == (2, "")
    assert "conformance: check = sead: is not a check; did you mean 'seed'?" in shown.err


def test_bench_speed(capsys: pytest.CaptureFixture[str]) -> None:
    printed = call(capsys, "bench", "speed", "--model", "16-6-4", "--batch", 8, "--blocks", 2, "--json").json
    keys = ["model", "batch", "threads", "ep_ms", "backprop_ms", "ratio", "sweeps", "min_cosine"]
    assert [key for key in printed if key in keys] == keys
    assert (printed["model"], printed["batch"]) == ("16-6-4", 8)
    assert printed["ep_ms"] > 0 and printed["backprop_ms"] > 0
