"""The natural gradient against its definition with an explicit Fisher matrix."""

from __future__ import annotations

import pytest
import torch

import mep_hw
from mep_hw import estimator, machine
from mep_hw.outersum import dense
from mep_hw.rules import LocalStates, Natural


def test_one_step_solves_the_damped_kronecker_system() -> None:
    generator = torch.Generator().manual_seed(0)
    before = torch.randn(50, 4, generator=generator, dtype=torch.float64)
    after = torch.randn(50, 3, generator=generator, dtype=torch.float64)
    contrast = after.T @ before / 50
    rule = Natural(momentum=0.0, damping=0.2, trust=1e9)
    memory = rule.init((3, 4), generator, torch.float64)
    update, _ = rule.step(contrast, memory, lr=0.1, states=LocalStates(before, after))
    a, s = before.T @ before / 50, after.T @ after / 50
    a = a + 0.2 * a.trace() / 4 * torch.eye(4, dtype=torch.float64)
    s = s + 0.2 * s.trace() / 3 * torch.eye(3, dtype=torch.float64)
    fisher = torch.kron(s, a)  # of the weights in rows
    expected = torch.linalg.solve(fisher, contrast.flatten()).view(3, 4)
    assert torch.allclose(dense(update), 0.1 * expected, rtol=1e-8)


def test_the_step_is_invariant_to_the_scale_of_inputs_and_signals() -> None:
    """update -> update / (p q) when states are scaled by p and signals by q, while `trust` does not bind."""
    generator = torch.Generator().manual_seed(1)
    before, after = torch.randn(40, 5, generator=generator), torch.randn(40, 3, generator=generator)
    found = []
    for p, q in ((1.0, 1.0), (4.0, 1e-3)):
        rule = Natural(trust=1e9)
        states = LocalStates(before * p, after * q)
        contrast = states.after.T @ states.before / 40
        update, _ = rule.step(contrast, rule.init((3, 5), generator, torch.float32), lr=1.0, states=states)
        found.append(dense(update) * p * q)
    assert torch.allclose(found[0], found[1], rtol=1e-4, atol=1e-6)


def test_a_step_never_moves_the_drive_by_more_than_trust() -> None:
    generator = torch.Generator().manual_seed(2)
    before, after = torch.rand(64, 6, generator=generator), 1e-6 * torch.randn(64, 4, generator=generator)
    rule = Natural(momentum=0.0, trust=0.3)
    contrast = after.T @ before / 64
    update, _ = rule.step(
        contrast, rule.init((4, 6), generator, torch.float32), lr=0.5, states=LocalStates(before, after)
    )
    moved = (before @ dense(update).T).square().mean().sqrt()
    assert float(moved) == pytest.approx(0.5 * 0.3, rel=1e-4)


@pytest.mark.parametrize("model", ["mlp", "conv", "conv max"])
def test_the_states_give_back_the_contrast(model: str) -> None:
    """sum over rows of after x before is the contrast, up to terms of order beta: the two ends see what trains them."""
    if model == "mlp":
        subject = mep_hw.mlp(16, 12, 9, 4, activation="sigmoid", dtype=torch.float64)
    else:
        pool = "max" if model.endswith("max") else "avg"
        subject = mep_hw.convnet(
            (1, 8, 8), (3, 4), kernel=3, padding=1, outputs=4, pool=pool, activation="sigmoid", dtype=torch.float64
        )
    card, cells = machine.cards("cpu")
    from mep_hw.gradcheck import precise

    substrate = machine.build(subject, precise(card, 1e-4), cells, 0)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(7, *subject.input_shape, generator=generator, dtype=torch.float64)
    y = torch.nn.functional.one_hot(torch.arange(7) % 4, 4).double()
    contrast = estimator.make("centered", 1e-4).total(substrate, x, y)
    for c in subject.trainable:
        # For layers above the first the product rule has a second term, free signal times the change of the source,
        # which is what a weight gradient at fixed states does not contain: after belongs to its own layer only.
        states = contrast.states(substrate, c, x)
        assert len(states.before) == len(states.after) and len(states.before) % 7 == 0
        if subject.couplings[c].source == 0:
            update = contrast.weights[c]
            assert update is not None
            product = (states.after.T @ states.before / 7).view(subject.couplings[c].weight_shape)
            assert torch.allclose(product, dense(update), rtol=1e-9, atol=1e-12)
