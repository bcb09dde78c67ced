"""Rules against torch.optim as the independent reference, and the spectral bound against a full SVD."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mep_hw import rules
from mep_hw.errors import InputError
from mep_hw.outersum import OuterSum, add_into_, dense
from mep_hw.rules import spectral

STEPS = 12


def contrast(generator: torch.Generator, factored: bool) -> Tensor | OuterSum:
    left, right = (torch.randn(n, 3, generator=generator, dtype=torch.float64) for n in (5, 7))
    return OuterSum(left, right, 0.5) if factored else 0.5 * left @ right.T


def optimiser(name: str, weights: Tensor, momentum: float, decay: float) -> torch.optim.Optimizer:
    if name == "sgd":
        return torch.optim.SGD([weights], lr=0.1, momentum=momentum, weight_decay=decay)
    return torch.optim.Adam([weights], lr=0.1, betas=(momentum, 0.999), weight_decay=decay)


@pytest.mark.parametrize("factored", [True, False], ids=["factors", "dense"])
@pytest.mark.parametrize("decay", [0.0, 0.05])
@pytest.mark.parametrize(("name", "momentum"), [("sgd", 0.0), ("sgd", 0.8), ("adam", 0.9), ("adam", 0.0)])
def test_the_same_steps_as_torch(name: str, momentum: float, decay: float, factored: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    mine = torch.randn(5, 7, generator=generator, dtype=torch.float64)
    theirs = mine.clone().requires_grad_()
    rule = rules.make(name, momentum=momentum, weight_decay=decay)
    reference = optimiser(name, theirs, momentum, decay)
    memory = rule.init((5, 7), generator, torch.float64)
    for _ in range(STEPS):
        measured = contrast(generator, factored)
        theirs.grad = -dense(measured)
        reference.step()
        kept = {key: value.clone() for key, value in memory.items()}
        update, new = rule.step(measured, memory, lr=0.1, weights=mine if rule.needs_weights else None)
        assert all(torch.equal(memory[key], kept[key]) for key in kept)  # a rule never changes the memory it is given
        memory = new
        add_into_(mine, update)
    assert torch.allclose(mine, theirs.detach(), rtol=0, atol=1e-12)


def test_plain_sgd_keeps_the_factors() -> None:
    rule = rules.make("sgd")
    update, _ = rule.step(contrast(torch.Generator().manual_seed(0), True), {}, lr=0.1)
    assert isinstance(update, OuterSum) and update.rank == 3 and update.scale == pytest.approx(0.05)


def test_an_unknown_rule_names_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"rule = sdg: is not one of sgd, adam"):
        rules.make("sdg")


@pytest.mark.parametrize("factored", [True, False], ids=["factors", "dense"])
def test_the_cap_brings_the_norm_down_to_the_bound(factored: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(5, 7, generator=generator, dtype=torch.float64)
    memory = spectral.start((5, 7), generator, torch.float64)
    nothing = contrast(generator, factored) * 0.0 if factored else torch.zeros(5, 7, dtype=torch.float64)
    norms = []
    for _ in range(60):
        update, memory = spectral.cap(nothing, memory, weights, 0.9)
        add_into_(weights, update)
        norms.append(float(torch.linalg.matrix_norm(weights, 2)))
    assert norms[0] > 1.0 and norms[-1] == pytest.approx(0.9, abs=1e-3)


def test_the_cap_sees_the_update_and_leaves_weak_weights_alone() -> None:
    generator = torch.Generator().manual_seed(2)
    weights = 0.1 * torch.eye(4, dtype=torch.float64)
    memory = spectral.start((4, 4), generator, torch.float64)
    small = 0.1 * torch.eye(4, dtype=torch.float64)
    unchanged, memory = spectral.cap(small, memory, weights, 0.9)
    assert torch.equal(dense(unchanged), small)
    spike = torch.zeros(4, 4, dtype=torch.float64)
    spike[0, 0] = 2.0
    for _ in range(20):  # the direction of the spike has to be found first
        capped, memory = spectral.cap(spike, memory, weights, 0.9)
    assert float(torch.linalg.matrix_norm(weights + dense(capped), 2)) == pytest.approx(0.9, abs=1e-6)


def test_a_convolution_is_capped_as_a_matrix() -> None:
    generator = torch.Generator().manual_seed(3)
    weights = torch.randn(6, 2, 3, 3, generator=generator, dtype=torch.float64)
    memory = spectral.start((6, 2, 3, 3), generator, torch.float64)
    for _ in range(80):
        update, memory = spectral.cap(torch.zeros_like(weights), memory, weights, 0.5)
        weights += dense(update)
    assert weights.shape == (6, 2, 3, 3)
    assert float(torch.linalg.matrix_norm(weights.flatten(1), 2)) == pytest.approx(0.5, abs=1e-3)
