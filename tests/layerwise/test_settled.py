"""Settled phases against a minimiser that shares nothing with them: scipy's L-BFGS on F over the states."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor, nn
from torch_cases import CASES, Case, backprop, cost, mlp

from mep_hw.errors import DivergenceError
from mep_hw.layerwise import Layerwise

BETA = 0.5
STEP = 1e-4


def small(loss: str) -> Case:
    torch.manual_seed(7)
    module = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    with torch.no_grad():
        for p in module.parameters():
            p.mul_(2.0)
    x = torch.randn(2, 3, dtype=torch.float64)
    target = torch.randn(2, 3, dtype=torch.float64) if loss == "squared_error" else torch.tensor([0, 2])
    return Case(module, x, target)


def free_energy(energy: Layerwise, states: list[Tensor], target: Tensor, beta: float) -> Tensor:
    """F per sample, (batch,), differentiable in the states and the parameters of every block."""
    below = [energy.x, *states[:-1]]
    errors = [s - block(b) for block, b, s in zip(energy.blocks, below, states, strict=True)]
    return sum(e.square().flatten(1).sum(1) / 2 for e in errors) + beta * cost(states[-1], target)


def minimum(energy: Layerwise, target: Tensor, beta: float) -> float:
    """Mean over the batch of the least F, searched from the free state."""
    with torch.no_grad():
        states = [energy.x]
        for block in energy.blocks:
            states.append(block(states[-1]))
    shapes = [s.shape for s in states[1:]]
    sizes = [s.numel() for s in states[1:]]

    def value(flat: np.ndarray) -> tuple[float, np.ndarray]:
        point = torch.tensor(flat, requires_grad=True)
        parts = [part.view(shape) for part, shape in zip(point.split(sizes), shapes, strict=True)]
        total = free_energy(energy, parts, target, beta).sum()
        (slope,) = torch.autograd.grad(total, point)
        return float(total.detach()), slope.numpy()

    start = torch.cat([s.flatten() for s in states[1:]]).numpy()
    found = scipy.optimize.minimize(
        value, start, jac=True, method="L-BFGS-B", options={"ftol": 0.0, "gtol": 1e-9, "maxiter": 2000, "maxcor": 30}
    )
    assert np.abs(found.jac).max() < 1e-7
    return float(found.fun) / len(target)


@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy"])
def test_the_contrast_at_a_large_beta_is_the_slope_of_the_settled_energy(loss: str) -> None:
    case = small(loss)
    energy = case.layerwise()
    case.module(case.x)
    contrast = energy.contrast(case.target, beta=BETA, estimator="one_sided", tolerance=1e-10, sweeps=2000)
    mine, reference = [], []
    for p in case.module.parameters():
        flat = p.detach().view(-1)
        for n in range(flat.numel()):
            middle = float(flat[n])
            flat[n] = middle + STEP
            above = minimum(energy, case.target, BETA)
            flat[n] = middle - STEP
            below = minimum(energy, case.target, BETA)
            flat[n] = middle
            reference.append(-(above - below) / (2 * STEP * BETA))
        mine.append(contrast.values[p].flatten())
    found, wanted = torch.cat(mine), torch.tensor(reference, dtype=torch.float64)
    assert float((found - wanted).norm() / wanted.norm()) < 1e-4
    gradient = torch.cat([g.flatten() for g in backprop(case, energy)])
    assert float(-(found @ gradient) / (found.norm() * gradient.norm())) < 0.99


# Not those with a ReLU before a normalisation, a max pool or a LayerNorm: see the docstring of mep_hw.layerwise.settle.
@pytest.mark.parametrize("name", ["2 hidden", "8 hidden", "16 hidden", "cross entropy", "conv1d"])
def test_smooth_modules_settle_at_a_large_beta(name: str) -> None:
    case = CASES[name]()
    energy = case.layerwise()
    case.module(case.x)
    nudged = energy.contrast(case.target, beta=BETA, estimator="one_sided", tolerance=1e-8, sweeps=200).nudged
    assert bool((nudged.residual <= 1e-8 * BETA).all()) and bool((nudged.sweeps < 200).all())
    states = [s.requires_grad_() for s in nudged.states]
    with energy.statistics.frozen():
        slopes = torch.autograd.grad(free_energy(energy, states, case.target, BETA).sum(), states)
    assert max(float(s.abs().max()) for s in slopes) <= 1e-6


def test_the_residual_is_the_slope_in_the_errors() -> None:
    case = mlp(2)
    energy = case.layerwise()
    case.module(case.x)
    nudged = energy.contrast(case.target, beta=BETA, estimator="one_sided", tolerance=0.0, sweeps=2).nudged
    errors = [e.detach().requires_grad_() for e in nudged.errors]
    value = energy.x
    for block, error in zip(energy.blocks, errors, strict=True):
        value = block(value) + error
    total = sum(e.square().sum() for e in errors) / 2 + BETA * cost(value, case.target).sum()
    slopes = torch.autograd.grad(total, errors)
    residual = torch.stack([s.abs().flatten(1).amax(1) for s in slopes]).amax(0)
    assert torch.allclose(residual, nudged.residual, rtol=1e-9, atol=0)
    assert bool((residual > 1e-3).any())


def test_energy_is_zero_in_the_free_state_and_half_the_squared_errors_elsewhere() -> None:
    case = CASES["conv"]()
    energy = case.layerwise()
    case.module(case.x)
    nudged = energy.contrast(case.target, beta=0.1, estimator="one_sided").nudged
    wanted = sum(e.square().flatten(1).sum(1) for e in nudged.errors) / 2
    assert torch.allclose(energy.energy(nudged.states), wanted, rtol=1e-9)
    states = [case.x]
    with energy.statistics.frozen(), torch.no_grad():
        for block in energy.blocks:
            states.append(block(states[-1]))
    assert float(energy.energy(states[1:]).max()) == 0.0


def test_a_stack_pushed_too_far_from_its_target_is_refused() -> None:
    case = mlp(16)
    with torch.no_grad():
        for p in case.module.parameters():
            p.mul_(1.2)
    energy = case.layerwise()
    case.module(case.x)
    with pytest.raises(DivergenceError, match=r"residual = .*: grew in .*squared_error.*smaller beta"):
        energy.contrast(case.target, beta=2.0, estimator="centered")


def test_few_sweeps_stop_at_the_cap() -> None:
    case = mlp(8)
    energy = case.layerwise()
    case.module(case.x)
    nudged = energy.contrast(case.target, beta=0.02, tolerance=0.0, sweeps=3).nudged
    assert nudged.sweeps.tolist() == [3] * 2 * len(case.x)
