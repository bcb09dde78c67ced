"""The exact gradient: against finite differences of the settled loss, and closed forms where H is not definite."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from mep_hw import spec
from mep_hw.activation import NAMED
from mep_hw.adjoint import AdjointError, exact_gradient
from mep_hw.cards import load_backend
from mep_hw.gradcheck import BETA, precise
from mep_hw.krylov import solve
from mep_hw.model import Model, convnet, mlp
from mep_hw.state import State
from mep_hw.substrates.cpu import Cpu

STEP = 1e-5  # of the central difference; its own error is STEP^2 and, from rounding, 1e-16 / STEP


def described(**fields: Any) -> Model:
    return Model(spec.parse(fields), seed=1, dtype=torch.float64)


def pooled_states() -> Model:
    """Max pooling of a layer's own states; positive feedback, so that no winner is pushed down to a tie."""
    layers = [
        {"conv": {"channels": 3, "kernel": 3}, "activation": "tanh"},
        {"conv": {"channels": 4, "kernel": 2}, "before": [{"pool": "max", "size": 2}], "activation": "sigmoid"},
        {"dense": 3},
    ]
    model = described(input=[2, 8, 8], layers=layers)
    model.weights[1].abs_().mul_(0.5)
    return model


def layers(*sizes: int, activation: str) -> list[dict[str, Any]]:
    return [{"dense": n, "activation": activation} for n in sizes[:-1]] + [{"dense": sizes[-1]}]


CONV = {"input_shape": (2, 8, 8), "channels": (3, 4), "kernel": 3, "padding": 1, "outputs": 3, "dtype": torch.float64}
MODELS: dict[str, Callable[[], Model]] = {
    "squared error": lambda: mlp(6, 9, 8, 3, dtype=torch.float64),
    "cross entropy": lambda: mlp(6, 9, 8, 3, cost="cross_entropy", dtype=torch.float64),
    "no hidden layer": lambda: mlp(6, 3, dtype=torch.float64),
    "cross entropy, no hidden layer": lambda: mlp(6, 3, cost="cross_entropy", dtype=torch.float64),
    "sigmoid": lambda: mlp(6, 9, 8, 3, activation="sigmoid", dtype=torch.float64),
    "tanh": lambda: mlp(6, 9, 8, 3, activation="tanh", cost="cross_entropy", dtype=torch.float64),
    "other box": lambda: described(
        input=[6], layers=layers(9, 8, 3, activation={"low": -1.0, "high": 2.0, "gain": 0.7, "offset": 0.2})
    ),
    "no bias": lambda: described(input=[6], layers=[{"dense": 9, "bias": False}, {"dense": 3}]),
    "average pooling": lambda: convnet(**CONV, pool="avg"),
    "max pooling": lambda: convnet(**CONV, pool="max", activation="sigmoid"),
    "max pooling before": pooled_states,
    "skips": lambda: described(
        input=[6], layers=layers(8, 8, 8, 3, activation="tanh"),
        skips=[
            {"source": 0, "target": 2, "dense": True},
            {"source": 1, "target": 3, "identity": 0.3},
            {"source": 2, "target": 4, "dense": True},
        ],
    ),
    "skips into a cross-entropy read-out": lambda: described(
        input=[6], layers=layers(8, 7, 3, activation="sigmoid"), cost="cross_entropy",
        skips=[{"source": 0, "target": 3, "dense": True}, {"source": 1, "target": 3, "dense": True}],
    ),
}  # fmt: skip


def batch(model: Model, count: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    x = torch.rand(count, *model.input_shape, generator=generator, dtype=torch.float64)
    labels = torch.randint(model.outputs, (count,), generator=generator)
    return x, torch.nn.functional.one_hot(labels, model.outputs).double()


def settled(model: Model, x: Tensor) -> tuple[State, Tensor]:
    free = Cpu(model, precise(load_backend("cpu"), BETA), None, 0).settle(x)
    assert float(free.residual.max()) <= 1e-12
    return free.state, free.output


def loss_with(model: Model, x: Tensor, y: Tensor, name: str, direction: Tensor, step: float) -> float:
    moved = copy.deepcopy(model)
    moved.tensors()[name].add_(direction, alpha=step)
    return float(model.loss.of(settled(moved, x)[1], y).mean())


@pytest.mark.parametrize("name", MODELS)
def test_against_finite_differences(name: str) -> None:
    model = MODELS[name]()
    generator = torch.Generator().manual_seed(5)
    for bias in model.biases:  # so that some units sit inside the box and some at each bound
        if bias is not None:
            bias.copy_(0.5 * torch.randn(bias.shape, generator=generator, dtype=torch.float64))
    x, y = batch(model)
    state, output = settled(model, x)
    exact = exact_gradient(model, state, x, y)
    assert exact.loss == pytest.approx(float(model.loss.of(output, y).mean()), rel=1e-12)
    assert bool(exact.definite.all())
    gradients = {f"weights.{k.name}": g for k, g in zip(model.couplings, exact.weights, strict=True) if g is not None}
    gradients |= {f"biases.{n}": g for n, g in enumerate(exact.biases, start=1) if g is not None}
    assert len(gradients) == len(model.trainable) + sum(b is not None for b in model.biases)
    for tensor, gradient in gradients.items():
        assert gradient.shape == model.tensors()[tensor].shape
        # Along the gradient, where a wrong size shows best, and along a random direction, where a wrong angle does.
        directions = [gradient / gradient.norm(), torch.randn(gradient.shape, generator=generator, dtype=torch.float64)]
        for direction in directions:
            rise = loss_with(model, x, y, tensor, direction, STEP) - loss_with(model, x, y, tensor, direction, -STEP)
            expected = float((gradient * direction).sum())
            assert rise / (2 * STEP) == pytest.approx(expected, rel=1e-5, abs=1e-5 * float(gradient.norm())), tensor


def test_bounds_are_reached_in_the_box_models() -> None:
    """Otherwise the finite differences above would not see how held units are treated."""
    model = mlp(6, 9, 8, 3, dtype=torch.float64)
    x, y = batch(model)
    share = exact_gradient(model, settled(model, x)[0], x, y).free
    assert bool((share < 1).all()) and bool((share > 0.3).all())


def test_a_fixed_coupling_has_no_gradient() -> None:
    model = MODELS["skips"]()
    x, y = batch(model)
    exact = exact_gradient(model, settled(model, x)[0], x, y)
    assert [g is None for g in exact.weights] == [not k.trainable for k in model.couplings]


def test_given_parameters_replace_the_models_own() -> None:
    model, other = (mlp(6, 9, 3, seed=seed, dtype=torch.float64) for seed in (0, 1))
    x, y = batch(model)
    state = settled(other, x)[0]
    theirs = exact_gradient(model, state, x, y, weights=other.weights, biases=other.biases)
    for a, b in zip(theirs.weights, exact_gradient(other, state, x, y).weights, strict=True):
        assert a is not None and b is not None and torch.equal(a, b)


def test_an_unsettled_state_is_refused() -> None:
    model = mlp(6, 9, 8, 3, dtype=torch.float64)
    x, y = batch(model)
    state = settled(model, x)[0]
    inside = (state[1] > 0.1) & (state[1] < 0.9)
    with pytest.raises(AdjointError, match="distance from the fixed point"):
        exact_gradient(model, [state[0], state[1] + 1e-8 * inside, state[2]], x, y)
    # A unit held at the wrong bound has a slope that pushes it off again.
    with pytest.raises(AdjointError, match="distance from the fixed point"):
        exact_gradient(model, [torch.zeros_like(state[0]), *state[1:]], x, y)


def linear(strength: float) -> tuple[Model, Tensor, State]:
    """A model that stays inside its wide boxes, so that its state solves a linear system, and that state."""
    wide = {"low": -1e3, "high": 1e3}
    model = described(input=[2], layers=[{"dense": 2, "activation": wide, "bias": False}, {"dense": 2}])
    model.weights[1].copy_(strength * torch.tensor([[1.0, 0.3], [0.2, 0.9]], dtype=torch.float64))
    x = torch.tensor([[0.3, 0.8], [0.5, 0.1], [0.9, 0.4]], dtype=torch.float64)
    return model, x, solved_state(model.weights, x)


def solved_state(weights: list[Tensor], x: Tensor) -> State:
    """s_1 = W_1 x + W_2^T s_2 and s_2 = W_2 s_1."""
    first, second = weights
    hidden = torch.linalg.solve(torch.eye(2, dtype=x.dtype) - second.T @ second, first @ x.T).T
    return [hidden, hidden @ second.T]


@pytest.mark.parametrize(("strength", "definite"), [(0.5, True), (2.0, False)])
def test_a_saddle_has_a_gradient_too(strength: float, definite: bool) -> None:
    model, x, state = linear(strength)
    y = batch(model, 3)[1]
    exact = exact_gradient(model, state, x, y)
    assert exact.definite.tolist() == [definite] * 3
    weights = [w.clone().requires_grad_() for w in model.weights]
    loss = model.loss.of(solved_state(weights, x)[1], y).mean()
    for mine, closed in zip(exact.weights, torch.autograd.grad(loss, weights), strict=True):
        torch.testing.assert_close(mine, closed, rtol=1e-9, atol=1e-12)


def test_a_flat_energy_is_refused() -> None:
    """At norm 1 a pair of linear units has no restoring force: any common shift is as good."""
    wide = {"low": -1e3, "high": 1e3}
    model = described(input=[1], layers=[{"dense": 1, "activation": wide, "bias": False}, {"dense": 1}])
    model.weights[0].zero_()
    model.weights[1].fill_(1.0)
    zero = torch.zeros(1, 1, dtype=torch.float64)
    with pytest.raises(AdjointError, match="flat in some direction"):
        exact_gradient(model, [zero, zero], zero, zero + 1)


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_second_derivative_of_smooth_potentials(name: str) -> None:
    """torch.xlogy differentiated twice is 1 / rho'(rho^-1(s)) up to one rounding error of 1 - s."""
    activation = NAMED[name]
    drive = torch.linspace(-12, 12, 49, dtype=torch.float64)
    drive = drive if name == "sigmoid" else drive / 2
    state = activation.rho(drive).requires_grad_()
    slope = torch.autograd.grad(activation.potential(state).sum(), state, create_graph=True)[0]
    curvature = torch.autograd.grad(slope.sum(), state)[0]
    torch.testing.assert_close(slope.detach(), drive, rtol=1e-9, atol=1e-12)
    exact = 1 / (state * (1 - state)) if name == "sigmoid" else 1 / (1 - state.square())
    torch.testing.assert_close(curvature, exact.detach(), rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_units_rounded_to_the_end_of_their_range(name: str) -> None:
    """There G'' is infinite; such a unit is as good as held, and the others' gradient stays finite and right."""
    model = mlp(3, 4, 2, activation=name, dtype=torch.float64)
    x, y = batch(model)
    bias = model.biases[0]
    assert bias is not None
    bias.copy_(torch.tensor([800.0, -800.0, 0.2, -0.1], dtype=torch.float64))
    state = settled(model, x)[0]
    assert {0.0, 1.0} <= set(state[0].abs().flatten().tolist()) or name == "tanh"
    exact = exact_gradient(model, state, x, y)
    first = exact.weights[0]
    assert first is not None and bool(first.isfinite().all())
    assert float(first[:2].abs().max()) < 1e-12 < float(first[2:].abs().min())


def test_every_row_of_a_batch_is_solved_by_itself() -> None:
    """One definite, one indefinite, one zero right-hand side; none disturbs the others."""
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(3, 6, 6, generator=generator, dtype=torch.float64)
    matrix = root @ root.mT + torch.eye(6, dtype=torch.float64)
    matrix[1] -= 5 * torch.eye(6, dtype=torch.float64)
    right = torch.randn(3, 6, generator=generator, dtype=torch.float64)
    right[2] = 0
    found = solve(lambda direction: (matrix @ direction[:, :, None])[:, :, 0], right)
    torch.testing.assert_close(found.solution, torch.linalg.solve(matrix, right), rtol=1e-9, atol=1e-12)
    assert found.definite.tolist() == [True, False, True]
    assert float(found.residual.max()) < 1e-10
