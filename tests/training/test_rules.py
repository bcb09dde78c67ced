"""Every rule trains through the front door, and by more than its read-out."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import mep_hw
from mep_hw.errors import DivergenceError, InputError, Notice
from mep_hw.estimator import make
from mep_hw.machine import build, cards
from mep_hw.outersum import dense
from mep_hw.rules import DEFAULTS, Bounded, Sgd
from mep_hw.training.step import TrainingStep


@pytest.mark.parametrize("rule", ["sgd", "muon", "dion", "natural"])
def test_a_rule_learns_the_digits_with_its_own_defaults(rule: str) -> None:
    run = mep_hw.train(mep_hw.mlp(64, 24, 10), rule=rule, epochs=10, control=True, progress=False)
    assert run.settings.rule == rule and run.settings.lr == DEFAULTS[rule]["lr"]
    assert run.test_accuracy is not None and run.control_accuracy is not None
    assert run.test_accuracy >= 0.95 and run.test_accuracy >= run.control_accuracy + 0.10


def test_the_local_rule_equals_plain_sgd_on_registers() -> None:
    """Its contrast is never summed on the host, and on exact registers that makes no difference."""
    runs = [
        mep_hw.train(mep_hw.mlp(64, 12, 10), rule=rule, momentum=0.0, lr=0.05, epochs=2, progress=False)
        for rule in ("hebbian", "sgd")
    ]
    assert all(torch.equal(a, b) for a, b in zip(runs[0].model.weights, runs[1].model.weights, strict=True))


@pytest.mark.parametrize("rule", ["muon", "dion", "natural", "sgd"])
@pytest.mark.parametrize("pool", ["avg", "max"])
def test_convolutions_train_with_every_rule(rule: str, pool: str) -> None:
    model = mep_hw.convnet((1, 8, 8), (4, 6), kernel=3, padding=1, outputs=10, pool=pool)
    x = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    y = torch.arange(40) % 10
    run = mep_hw.train(model, ((x, y), (x, y)), rule=rule, lr=0.004, epochs=12, batch_size=8, progress=False)
    assert run.history[-1]["train_loss"] < 0.9 * run.history[0]["train_loss"]


def test_hammer_knows_whether_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against an SVD after every step of a real run, in which many directions press against the bound."""
    right, found = Bounded.after, list[tuple[float, bool]]()

    def watched(self: Bounded, asked: Any, *others: Any) -> Any:
        update, new = right(self, asked, *others)
        result = asked.weights + dense(update)
        found.append((float(torch.linalg.matrix_norm(result, 2)), bool(new["held"])))
        return update, new

    monkeypatch.setattr(Bounded, "after", watched)
    model = mep_hw.mlp(64, 96, 96, 10)
    run = mep_hw.train(model, rule="muon", lr=0.04, spectral_bound=0.8, epochs=1, progress=False)
    assert len(found) == 45 and any(held for _, held in found)
    assert all(size <= 1.02 * 0.8 for size, held in found if held)
    assert run.history[-1]["bound_directions"] > 45


@pytest.mark.parametrize("method", ["hammer", "normalise", "soft_cap"])
def test_a_deep_model_trains_under_every_bound(method: str) -> None:
    """Three hidden layers: with four, rounding alone moves the accuracy by 0.1."""
    model = mep_hw.mlp(64, 32, 32, 32, 10)
    run = mep_hw.train(
        model, rule="muon", spectral_bound=0.8, spectral_method=method, epochs=2, progress=False
    )  # fmt: skip
    for weights in run.model.weights[1:-1]:
        assert float(torch.linalg.matrix_norm(weights, 2)) <= 0.8 * 1.02
    assert run.test_accuracy is not None and run.test_accuracy > 0.85


def test_a_contrast_that_is_not_finite_is_refused_and_changes_nothing() -> None:
    model = mep_hw.mlp(6, 5, 3)
    step = _step(model)
    before = [step.substrate.read(c) for c in range(2)], [memory.copy() for memory in step.memory.values()]
    inputs = torch.rand(4, 6)
    inputs[2, 1] = float("nan")
    with pytest.raises(DivergenceError, match="contrast = nan: is not finite, so the step was refused"):
        step(inputs, torch.eye(3)[torch.tensor([0, 1, 2, 0])])
    assert all(torch.equal(a, step.substrate.read(c)) for c, a in enumerate(before[0]))
    for old, new in zip(before[1], step.memory.values(), strict=True):
        assert all(torch.equal(old[key], new[key]) for key in new)


def test_an_infinite_input_behind_saturated_units_is_refused() -> None:
    """Its states are finite, and so is the bias contrast; only the product with the input is not."""
    step = _step(mep_hw.mlp(6, 5, 3))
    inputs = torch.rand(4, 6)
    inputs[2, 1] = float("inf")
    with pytest.raises(DivergenceError, match="is not finite, so the step was refused"):
        step(inputs, torch.eye(3)[torch.tensor([0, 1, 2, 0])])


def test_biases_have_their_own_rate() -> None:
    runs = [
        mep_hw.train(mep_hw.mlp(64, 8, 10), rule="muon", bias_lr=rate, epochs=1, progress=False)
        for rate in (None, 0.003, 1e-9)
    ]
    start = mep_hw.mlp(64, 8, 10).biases[0]
    moved = [float((run.model.biases[0] - start).abs().max()) for run in runs]  # type: ignore[operator]
    assert moved[0] == moved[1] > 1e-3 and moved[2] < 1e-5


def test_what_a_rule_has_no_use_for_is_refused_before_training() -> None:
    with pytest.raises(InputError, match="train: rank = 4: is not for rule adam"):
        mep_hw.train(mep_hw.mlp(64, 8, 10), rank=4)
    with pytest.raises(InputError, match="train: estimator = continual"):
        mep_hw.train(mep_hw.mlp(64, 8, 10), rule="muon", estimator="continual")


def _step(model: mep_hw.Model) -> TrainingStep:
    from mep_hw import estimator, machine, rules

    card, cells = machine.cards("cpu")
    made = rules.make("muon", momentum=0.9)
    return TrainingStep(machine.build(model, card, cells, 0), estimator.make("centered", 0.001), made, lr=0.01)


def test_a_bound_without_hidden_couplings_is_for_the_read_out_and_says_so() -> None:
    with pytest.warns(Notice, match="64-8-10 couples no hidden layers, so the read-out's coupling is bounded"):
        run = mep_hw.train(mep_hw.mlp(64, 8, 10), spectral_bound=0.3, epochs=1, progress=False)
    assert float(torch.linalg.matrix_norm(run.model.weights[1], 2)) == pytest.approx(0.3, rel=0.02)


@pytest.mark.parametrize("momentum", [0.0, 0.9])  # an update kept as factors, and a dense one
def test_an_update_that_is_not_finite_is_refused_before_any_weight_changes(momentum: float) -> None:
    """On registers, which could hold it: the contrast is finite, and the rate makes the update infinite."""
    model = mep_hw.mlp(64, 8, 10)
    step = TrainingStep(build(model, *cards("cpu"), seed=0), make("centered", 0.001), Sgd(momentum), lr=1e300)
    before = [step.substrate.read(c) for c in range(2)] + [b.clone() for b in step.substrate.biases if b is not None]
    with pytest.raises(DivergenceError, match="update = nan: is not finite, so the step was refused"):
        step(torch.rand(4, 64), torch.rand(4, 10))
    after = [step.substrate.read(c) for c in range(2)] + [b for b in step.substrate.biases if b is not None]
    assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True))
    assert not any(bool(value.any()) for memory in step.memory.values() for value in memory.values())
