"""The gradient check: it passes right machines of every kind, fails wrong ones, and says what it compared."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import card, machine
from problems import KINDS, problem

from mep_hw import estimator as estimators
from mep_hw import gradcheck
from mep_hw.adjoint import AdjointError
from mep_hw.cards import root
from mep_hw.contrast import Contrast
from mep_hw.errors import CapabilityError, DataError, DivergenceError, InputError
from mep_hw.estimator import NAMES
from mep_hw.gradcheck import GradientReport, gradient_check, precise
from mep_hw.model import Model, convnet, mlp
from mep_hw.state import Nudge
from mep_hw.witness import Witness

KEYS = {"backend", "model", "estimator", "beta", "layers", "min_cosine", "max_norm_error", "samples", "share"}


def pooled() -> Model:
    """Max pooling between layers, where the winners depend on the state."""
    return convnet((1, 8, 8), (3, 4), kernel=3, padding=1, pool="max", outputs=3, dtype=torch.float64)


def bars(report: GradientReport) -> tuple[float, float]:
    assert report.min_cosine is not None and report.max_norm_error is not None
    return report.min_cosine, report.max_norm_error


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("estimator", NAMES)
def test_every_estimator_on_every_kind_of_model(kind: str, estimator: str) -> None:
    model = problem(kind).model
    if estimator == "holomorphic" and not model.smooth:
        with pytest.raises(CapabilityError, match="needs smooth activations"):
            gradient_check(model, estimator=estimator)
        return
    report = gradient_check(model, estimator=estimator)
    cosine, norm_error = bars(report)
    assert cosine >= 0.9999 and norm_error <= 0.01
    assert report.share == 1.0
    assert report.samples == (gradcheck.CONV_SAMPLES if len(model.input_shape) == 3 else gradcheck.SAMPLES)
    names = [f"weights {model.couplings[c].name}" for c in model.trainable]
    names += [f"biases {n}" for n, layer in enumerate(model.layers, start=1) if layer.bias_shape is not None]
    assert [layer.name for layer in report.layers] == names


@pytest.mark.parametrize("kind", ["mlp", "cross_entropy", "sigmoid", "conv"])
def test_the_plain_integrator_passes_too(kind: str) -> None:
    cosine, norm_error = bars(gradient_check(problem(kind).model, backend="reference", samples=64))
    assert cosine >= 0.9999 and norm_error <= 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_as_trained_shows_the_shortcuts(kind: str) -> None:
    """The card's float32, beta and stopping rule leave a small error that the check in principle does not have."""
    model = problem(kind, dtype=torch.float32).model
    report = gradient_check(model, as_trained=True)
    assert (report.beta, report.share) == (card().training.beta, 1.0)
    cosine, norm_error = bars(report)
    assert 0.95 <= cosine < 1 and 1e-6 < norm_error < 0.4  # the deep one is worst: its nudge dies out on the way down


BROKEN = {
    "no feedback to the first layer": "add if c == 1 else super().couple_back(c, target, source, add)",
    "feedback of the wrong sign": "super().couple_back(c, -target, source, add)",
    "feedback that is too weak": "super().couple_back(c, 0.8 * target, source, add)",
}


@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("as_trained", [False, True])
def test_a_faulty_machine_fails(fault: str, as_trained: bool, tmp_path: Path) -> None:
    """Its state is no minimum of the model's energy: in principle that is an error, as trained a low score."""
    (tmp_path / "faulty.py").write_text(
        "from mep_hw.substrates.cpu import Cpu\n\n\nclass Chip(Cpu):\n"
        f"    def couple_back(self, c, target, source, add):\n        return {BROKEN[fault]}\n"
    )
    text = (root("backends") / "cpu" / "card.yaml").read_text(encoding="utf-8")
    path = tmp_path / "chip.yaml"
    path.write_text(text.replace("mep_hw.substrates.cpu:Cpu", "faulty:Chip").replace("name: cpu", "name: chip"))
    model = problem("sigmoid").model
    if not as_trained:
        with pytest.raises(AdjointError, match="distance from the fixed point"):
            gradient_check(model, backend=str(path))
        return
    report = gradient_check(model, backend=str(path), as_trained=True)
    cosine, norm_error = bars(report)
    assert report.backend == "chip"
    assert cosine < 0.99 or norm_error > 0.1


@pytest.mark.parametrize(("factor", "cosine", "norm_error"), [(1, 1, 0), (-1, -1, 0), (2, 1, 1)])
def test_a_wrong_contrast_fails(
    factor: float, cosine: float, norm_error: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine settles right, and its states are combined with a wrong sign or size."""
    right = estimators.differences

    def wrong(*args: Any) -> Contrast:
        found = right(*args)
        weights, biases = (
            [None if v is None else v * factor for v in values] for values in (found.weights, found.biases)
        )
        return replace(found, weights=weights, biases=biases)

    monkeypatch.setattr(estimators, "differences", wrong)
    found = bars(gradient_check(mlp(6, 5, 5, 3, activation="tanh"), samples=16))
    assert found == pytest.approx((cosine, norm_error), abs=1e-6)


def test_a_zero_gradient_is_reported_as_unknown() -> None:
    """Nothing comes back through a zero read-out: layer 1 has no gradient, and no direction to compare."""
    model = mlp(6, 5, 3, dtype=torch.float64)
    model.weights[1].zero_()
    report = gradient_check(model)
    rows = {layer.name: (layer.cosine, layer.norm_ratio) for layer in report.layers}
    assert rows["weights 1"] == rows["biases 1"] == (None, None)
    assert bars(report)[0] > 0.9999 and rows["weights 2"][0] is not None


def test_no_gradient_at_all() -> None:
    model = mlp(6, 5, 3)
    for tensor in model.tensors().values():
        tensor.zero_()
    report = gradient_check(model, (torch.ones(4, 6), torch.zeros(4, 3)))
    assert report.min_cosine is None and report.max_norm_error is None
    assert json.loads(json.dumps(report.as_dict()))["min_cosine"] is None


@pytest.mark.parametrize("estimator", [name for name in NAMES if name != "holomorphic"])
def test_max_pooling_leaves_out_samples_that_change_their_winners(estimator: str) -> None:
    near, far = (gradient_check(pooled(), beta=beta, estimator=estimator, samples=64) for beta in (1e-5, 2e-3))
    assert 0 < far.share < near.share
    assert far.samples == far.share * 64
    for report in (near, far):  # one-sided estimates are off by order beta without any change of winner
        cosine, norm_error = bars(report)
        assert cosine >= 0.9999 and norm_error <= 1e-4 + 10 * report.beta


def test_a_nudge_that_changes_every_sample_is_refused() -> None:
    with pytest.raises(InputError, match="moves every sample across"):
        gradient_check(pooled(), beta=0.5, samples=4)


def test_the_witness_compares_every_nudged_phase() -> None:
    model = pooled()
    x = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.eye(4, 3, dtype=torch.float64)
    watched = Witness(machine(model, **precise_fields()))
    free = watched.settle(x)
    assert bool(watched.same.all()) and 0 < watched.residual <= gradcheck.RESIDUAL
    weak, strong = (torch.full((4,), beta, dtype=torch.float64) for beta in (1e-9, 0.5))
    watched.settle(x, Nudge(weak, y), free)
    assert bool(watched.same.all())
    watched.settle(x, Nudge(torch.cat([weak, strong]), y), free)
    assert not bool(watched.same.all())
    watched.settle(x, Nudge(weak, y), free)
    assert not bool(watched.same.all())  # remembered until the next free phase
    watched.settle(x)
    assert bool(watched.same.all())


def precise_fields() -> dict[str, object]:
    settle = precise(card(), gradcheck.BETA).settle.model_dump()
    return {"compute__dtype": "float64"} | {f"settle__{name}": value for name, value in settle.items()}


def test_json_form() -> None:
    report = gradient_check(mlp(6, 5, 3), samples=8)
    plain = json.loads(json.dumps(report.as_dict()))
    assert set(plain) == KEYS
    assert set(plain["layers"][0]) == {"name", "cosine", "norm_ratio"}
    assert (plain["backend"], plain["model"], plain["estimator"], plain["beta"]) == ("cpu", "6-5-3", "centered", 1e-4)
    assert plain["min_cosine"] == report.min_cosine and (plain["samples"], plain["share"]) == (8, 1.0)


def test_the_model_is_left_alone_and_the_result_repeats() -> None:
    model = mlp(6, 5, 3)
    before = {name: tensor.clone() for name, tensor in model.tensors().items()}
    first, second, other = (gradient_check(model, seed=seed) for seed in (0, 0, 1))
    assert first == second != other
    for name, tensor in model.tensors().items():
        assert tensor.dtype == torch.float32 and torch.equal(tensor, before[name])


def test_given_data() -> None:
    """Labels and the same as one-hot targets are one question; a subset is drawn by seed."""
    model = mlp(6, 5, 3, activation="tanh")
    x, labels = torch.rand(20, 6, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 3
    by_label, by_target = (gradient_check(model, (x, y)) for y in (labels, torch.eye(3)[labels]))
    assert by_label == by_target and by_label.samples == 20
    assert gradient_check(model, (x, labels), samples=5).samples == 5


def test_inputs_are_centred_as_in_training() -> None:
    model, x, labels = mlp(6, 5, 3, activation="tanh"), torch.ones(4, 6), torch.arange(4) % 3
    plain = gradient_check(model, (0 * x, labels))
    model.offset = torch.ones(6)
    assert gradient_check(model, (x, labels)) == plain


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (InputError, {"samples": 0}, "samples = 0: must be at least 1"),
        (InputError, {"samples": 21}, "must be at most the 20 training samples"),
        (InputError, {"beta": 0.0}, "beta = 0.0: must be above 0"),
        (InputError, {"estimator": "backprop"}, "is not one of"),
        (DataError, {"data": (torch.ones(4, 5), torch.arange(4) % 3)}, "the model takes 6"),
        (DataError, {"data": (torch.full((4, 6), math.nan), torch.arange(4) % 3)}, "must be finite"),
    ],
)
def test_wrong_questions_are_refused(kind: type[InputError], options: dict[str, object], message: str) -> None:
    model = mlp(6, 5, 3)
    arguments: dict[str, object] = {"data": (torch.ones(20, 6), torch.arange(20) % 3)} | options
    with pytest.raises(kind, match=message):
        gradient_check(model, **arguments)  # pyright: ignore[reportArgumentType]


def test_a_machine_that_does_not_settle_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradcheck, "SWEEPS", 3)
    with pytest.raises(DivergenceError, match="residual of a settled state"):
        gradient_check(problem("deep").model)


def test_as_trained_uses_the_weights_that_the_machine_holds() -> None:
    """float32 rounds them; the exact side must follow, or the comparison would blame the machine for the rounding."""
    coarse = problem("sigmoid").model
    for weight in coarse.weights:
        weight.copy_(weight.float().double())
    fine = Model(coarse.spec, dtype=torch.float64)
    fine.load_tensors(coarse.tensors(), "test")
    for weight in fine.weights:
        weight.add_(1e-12)
    a, b = (gradient_check(model, as_trained=True, samples=4) for model in (coarse, fine))
    assert a == b
