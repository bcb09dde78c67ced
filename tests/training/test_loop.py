"""The parts of the loop that no whole run would show to be wrong: rates, targets, bounds, frozen layers, divergence."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import mep_hw
from mep_hw.cards import load_backend
from mep_hw.errors import DivergenceError, InputError, Notice
from mep_hw.settings import resolve
from mep_hw.training.loop import lr_factor


def test_cosine_with_warm_up() -> None:
    settings = resolve(load_backend("cpu"), epochs=10, warmup=2.0, lr_schedule="cosine")
    assert lr_factor(settings, 1, 0.0) == 0.0
    assert lr_factor(settings, 2, 0.0) == pytest.approx(0.5 * 0.5 * (1 + 0.951056516))
    assert lr_factor(settings, 6, 0.0) == pytest.approx(0.5)
    assert lr_factor(settings, 10, 1.0) == pytest.approx(0.0, abs=1e-12)
    constant = resolve(load_backend("cpu"), epochs=10, lr_schedule="constant")
    assert lr_factor(constant, 9, 0.5) == 1.0


def test_a_bound_is_for_hidden_couplings_and_else_for_the_read_out() -> None:
    assert mep_hw.mlp(5, 4, 4, 4, 3).bounded == [1, 2]
    assert mep_hw.mlp(5, 4, 3).bounded == [1]
    assert mep_hw.mlp(5, 4, 4, 3, skips=[(0, 2), (1, 3)]).bounded == [1]


def test_the_bound_holds_after_training() -> None:
    loose = mep_hw.train(mep_hw.mlp(64, 16, 16, 10), epochs=3, lr=0.01, progress=False).model
    tight = mep_hw.train(mep_hw.mlp(64, 16, 16, 10), epochs=3, lr=0.01, spectral_bound=0.6, progress=False).model
    assert float(torch.linalg.matrix_norm(loose.weights[1], 2)) > 0.8
    assert float(torch.linalg.matrix_norm(tight.weights[1], 2)) < 0.65


def test_the_control_run_learns_its_read_out_only(monkeypatch: pytest.MonkeyPatch) -> None:
    module, runs = sys.modules["mep_hw.train"], list[mep_hw.Run]()
    real = module.train_epochs

    def noted(run: mep_hw.Run, *others: Any) -> None:
        real(run, *others)
        runs.append(run)

    monkeypatch.setattr(module, "train_epochs", noted)
    x, y = torch.rand(40, 6), torch.randint(0, 3, (40,))
    run = mep_hw.train(mep_hw.mlp(6, 5, 3), ((x, y), (x, y)), epochs=2, control=True, progress=False)
    initial, control = mep_hw.mlp(6, 5, 3), runs[1].model
    kept = {name for name, value in control.tensors().items() if torch.equal(value, initial.tensors()[name])}
    assert kept == {f"weights.{control.couplings[0].name}", "biases.1"}
    assert runs[0] is run and not torch.equal(run.model.weights[0], initial.weights[0])
    again = mep_hw.train(mep_hw.mlp(6, 5, 3), ((x, y), (x, y)), epochs=2, progress=False)
    assert run.control_accuracy is not None and again.control_accuracy is None
    assert all(torch.equal(a, b) for a, b in zip(run.model.weights, again.model.weights, strict=True))


def test_one_rate_per_layer() -> None:
    before = mep_hw.mlp(64, 8, 10)
    after = mep_hw.train(mep_hw.mlp(64, 8, 10), epochs=1, lr=(1e-12, 0.01), progress=False).model
    assert torch.allclose(before.weights[0], after.weights[0], atol=1e-8)
    assert not torch.allclose(before.weights[1], after.weights[1], atol=1e-2)
    with pytest.raises(InputError, match="one for each of 2 layers"):
        mep_hw.train(mep_hw.mlp(64, 8, 10), lr=(0.1, 0.1, 0.1))


def test_centred_inputs_belong_to_the_model() -> None:
    x, y = torch.rand(30, 6) + 3, torch.randint(0, 3, (30,))
    run = mep_hw.train(mep_hw.mlp(6, 5, 3), ((x, y), (x, y)), epochs=2, centre=True, progress=False)
    assert run.model.offset is not None and torch.allclose(run.model.offset, x.mean(0))
    moved = x - x.mean(0)
    plain = mep_hw.train(mep_hw.mlp(6, 5, 3), ((moved, y), (moved, y)), epochs=2, progress=False)
    assert torch.allclose(run.model.weights[0], plain.model.weights[0], atol=1e-6)
    found = mep_hw.evaluate(run.model, (x, y))
    assert found.loss == pytest.approx(mep_hw.evaluate(plain.model, (moved, y)).loss, rel=1e-4)
    assert (found.accuracy, found.loss) == (run.test_accuracy, run.test_loss)


@pytest.mark.parametrize(
    ("model", "wrong"),
    [
        (lambda: mep_hw.convnet((1, 8, 8), (2,), kernel=3), {"rule": "hebbian"}),  # the machine refuses
        (lambda: mep_hw.mlp(64, 4, 10), {"validation": 1e-4}),
    ],
)
def test_a_run_that_is_refused_leaves_the_model_as_it_was(model: Any, wrong: dict[str, Any]) -> None:
    own = model()
    with pytest.raises(InputError):
        mep_hw.train(own, centre=True, progress=False, **wrong)
    assert own.offset is None


def test_divergence_says_what_to_lower_and_keeps_the_last_good_epoch(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.safetensors"
    with pytest.raises(DivergenceError, match=r"lower lr \(50.0\) or momentum \(0.9\), or lower beta \(0.001\)"):
        mep_hw.train(mep_hw.mlp(64, 8, 10), rule="sgd", lr=50.0, epochs=2, checkpoint=file, progress=False)
    assert not file.exists()


def test_a_control_that_diverges_leaves_the_run_its_result(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["mep_hw.train"]
    real, calls = module.train_epochs, 0

    def second_fails(*args: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise DivergenceError("train", "loss", 9.0, rule="left the useful range", fix="lower lr")
        real(*args)

    monkeypatch.setattr(module, "train_epochs", second_fails)
    with pytest.warns(Notice, match="control: train: loss = 9.0: left the useful range; lower lr; its accuracy"):
        run = mep_hw.train(mep_hw.mlp(64, 4, 10), epochs=1, control=True, progress=False)
    assert run.test_accuracy is not None and run.control_accuracy is None
