"""A `mep_hw.Model` under an optimizer: its own energy, its own loss, and every option counts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers import machine
from problems import problem
from torch import Tensor

import mep_hw
from mep_hw.adjoint import exact_gradient
from mep_hw.errors import InputError, Notice
from mep_hw.optimizers import SMEPOptimizer
from mep_hw.optimizers.hopfield import HopfieldSource
from mep_hw.optimizers.options import Nudging
from mep_hw.outersum import dense
from mep_hw.state import Nudge, Settled
from mep_hw.substrates.cpu import Cpu


@pytest.mark.parametrize("kind", ["tanh", "cross_entropy", "conv", "skip"])
def test_the_contrast_is_minus_the_exact_gradient(kind: str) -> None:
    given = problem(kind)
    source = HopfieldSource(given.model)
    given.model(given.x)
    how = Nudging(beta=1e-3, settle_steps=500, tolerance=1e-9)
    values = source.contrasts(given.y, how, given.model.parameters())
    tight = machine(given.model, compute__dtype="float64", settle__tolerance=1e-12, settle__free_sweeps=5000)
    exact = exact_gradient(given.model, tight.settle(given.x).state, given.x, given.y)
    pairs = [*zip(given.model.weights, exact.weights, strict=True), *zip(given.model.biases, exact.biases, strict=True)]
    expected = {p: g for p, g in pairs if p is not None and g is not None}
    assert set(values) == set(expected)
    for p, gradient in expected.items():
        value = dense(values[p]).view_as(gradient)
        assert float(-(value * gradient).sum() / (value.norm() * gradient.norm())) >= 0.999
        assert float(value.norm() / gradient.norm()) == pytest.approx(1.0, abs=0.05)


def free_sweeps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Filled with the most sweeps of every free phase from now on."""
    found: list[int] = []
    settle = Cpu.settle

    def counted(self: Cpu, inputs: Tensor, nudge: Nudge | None = None, start: Settled | None = None) -> Settled:
        settled = settle(self, inputs, nudge, start)
        if nudge is None:
            found.append(int(settled.sweeps.max()))
        return settled

    monkeypatch.setattr(Cpu, "settle", counted)
    return found


@pytest.mark.parametrize("estimator", ["centered", "one_sided", "richardson"])
@pytest.mark.parametrize("kind", ["tanh", "cross_entropy", "conv", "skip"])
def test_the_free_phase_is_settled_once(kind: str, estimator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given, sweeps = problem(kind), free_sweeps(monkeypatch)
    source = HopfieldSource(given.model)
    given.model(given.x)
    values = source.contrasts(given.y, Nudging(estimator=estimator), given.model.parameters())
    assert sweeps[0] > 4 and sweeps[1:] == [1]
    source.free = None  # as if it had not been kept; one_sided sees what one more sweep does to the free residual
    for p, value in source.contrasts(given.y, Nudging(estimator=estimator), given.model.parameters()).items():
        assert float((dense(values[p]) - dense(value)).norm()) <= 1e-2 * float(dense(value).norm())


def test_what_the_caller_does_with_the_read_out_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    given, sweeps = problem("tanh"), free_sweeps(monkeypatch)
    source = HopfieldSource(given.model)
    output = given.model(given.x[:1])  # of one sample it is the very tensor of the state
    output.zero_()
    source.contrasts(given.y[:1], Nudging(), given.model.parameters())
    assert sweeps[1:] == [1]


def test_weights_changed_after_the_forward_call_count(monkeypatch: pytest.MonkeyPatch) -> None:
    given, sweeps = problem("tanh"), free_sweeps(monkeypatch)
    source, how = HopfieldSource(given.model), Nudging(beta=1e-3, settle_steps=500, tolerance=1e-9)
    given.model(given.x)
    with torch.no_grad():
        for w in given.model.weights:
            w.mul_(0.5)
    values = source.contrasts(given.y, how, given.model.parameters())
    assert sweeps[1] > 1
    given.model(given.x)
    for p, value in source.contrasts(given.y, how, given.model.parameters()).items():
        assert float((dense(values[p]) - dense(value)).norm()) <= 1e-3 * float(dense(value).norm())


def test_parameters_are_those_that_are_learned() -> None:
    model = problem("skip").model
    fixed = [c for c in range(len(model.couplings)) if c not in model.trainable]
    assert fixed
    ids = {id(p) for p in model.parameters()}
    assert not any(id(model.weights[c]) in ids for c in fixed)
    assert len(ids) == len(model.trainable) + sum(b is not None for b in model.biases)


def ran(x: Tensor, labels: Tensor, **given: Any) -> list[Tensor]:
    model = mep_hw.mlp(6, 8, 8, 3, activation="tanh", seed=2, dtype=torch.float64)
    optimizer = SMEPOptimizer(model.parameters(), model=model, **given)
    model(x)
    optimizer.step(target=labels)
    return model.parameters()


@pytest.mark.parametrize(
    "given", [{"beta": 0.5}, {"settle_steps": 1}, {"estimator": "one_sided"}, {"tolerance": 1.0}], ids=str
)
def test_options_count(given: dict[str, Any]) -> None:
    generator = torch.Generator().manual_seed(0)
    x, labels = torch.rand(5, 6, generator=generator, dtype=torch.float64), torch.arange(5) % 3
    base = ran(x, labels)
    assert all(torch.equal(a, b) for a, b in zip(base, ran(x, labels), strict=True))
    other = ran(x, labels, **given)
    assert max(float((a - b).abs().max()) for a, b in zip(base, other, strict=True)) > 1e-6


def test_values_as_targets_are_what_labels_stand_for() -> None:
    x, labels = torch.rand(5, 6, dtype=torch.float64), torch.arange(5) % 3
    rows = torch.nn.functional.one_hot(labels, 3).double()
    assert all(torch.equal(a, b) for a, b in zip(ran(x, labels), ran(x, rows), strict=True))
    same = ran(x, labels, loss="squared_error")
    assert all(torch.equal(a, b) for a, b in zip(ran(x, labels), same, strict=True))


def test_the_offset_of_a_model_is_taken_off() -> None:
    model = mep_hw.mlp(6, 8, 3, dtype=torch.float64)
    x = torch.rand(4, 6, dtype=torch.float64)
    plain = model(x)
    model.offset = torch.full((6,), 0.5, dtype=torch.float64)
    assert torch.allclose(model(x + 0.5), plain, atol=1e-12)
    assert not torch.allclose(model(x), plain)


def test_the_spectral_bound_is_on_hidden_couplings() -> None:
    model = mep_hw.mlp(6, 8, 8, 3, seed=2)
    with torch.no_grad():
        for w in model.weights:
            w.mul_(3.0)
    optimizer = SMEPOptimizer(model.parameters(), model=model, use_spectral_constraint=True, gamma=0.7, beta=0.01)
    model(torch.rand(5, 6))
    optimizer.step(target=torch.arange(5) % 3)
    norms = [float(torch.linalg.matrix_norm(w, 2)) for w in model.weights]
    assert norms[1] <= 0.7 + 1e-5 and norms[0] > 1.0 and norms[2] > 1.0
    shallow = mep_hw.mlp(6, 8, 3)
    with pytest.warns(Notice, match="so the read-out's is bounded"):
        SMEPOptimizer(shallow.parameters(), model=shallow, use_spectral_constraint=True)


def test_a_forward_call_comes_first() -> None:
    model = mep_hw.mlp(6, 8, 3)
    optimizer = SMEPOptimizer(model.parameters(), model=model)
    with pytest.raises(InputError, match=r"has no free phase yet; call model\(x\) before step"):
        optimizer.step(target=torch.arange(5) % 3)
