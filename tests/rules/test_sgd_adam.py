"""SGD and Adam against torch.optim as the independent reference."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mep_hw import rules
from mep_hw.outersum import OuterSum, add_into_, dense

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
