"""A settled state is a stationary point of the energy, is reached downhill, and is reported truthfully."""

from __future__ import annotations

import pytest
import torch
from helpers import machine
from problems import KINDS, Problem, problem
from torch import Tensor

from mep_hw.activation import Box
from mep_hw.model import Model
from mep_hw.state import Nudge, Settled, State
from mep_hw.substrates.base import Substrate

EXACT = {
    "compute__dtype": "float64", "settle__tolerance": 1e-12, "settle__nudged_tolerance": 1e-11,
    "settle__free_sweeps": 3000, "settle__nudged_sweeps": 3000, "settle__anderson": 0,
}  # fmt: skip


def exact(model: Model, **changes: object) -> Substrate:
    return machine(model, **(EXACT | changes))


def beta(value: float, rows: int) -> Tensor:
    return torch.full((rows,), value, dtype=torch.float64)


def total(p: Problem, state: State, strength: Tensor) -> Tensor:
    """F = E + beta C of the whole batch, written with the model's own description only."""
    model, output = p.model, state[-1]
    if not model.loss.in_energy:
        output = torch.addmm(model.biases[-1], state[-2], model.weights[-1].T)
        loss = torch.nn.functional.cross_entropy(output, p.y, reduction="none")
    else:
        loss = (output - p.y).square().sum(1) / 2
    return (model.energy(state, p.x) + strength * loss).sum()


def largest_force(p: Problem, state: State, strength: Tensor) -> float:
    """Largest entry of -dF/ds, without what only pushes a unit against the end of its range."""
    state = [value.clone().requires_grad_() for value in state]
    inside = state if p.model.loss.in_energy else state[:-1]
    worst = 0.0
    slopes = torch.autograd.grad(total(p, state, strength), inside)
    for layer, value, slope in zip(p.model.layers, state, slopes, strict=False):
        value = value.detach()
        moved = value - slope
        if isinstance(layer.activation, Box):
            moved = moved.clamp(layer.activation.low, layer.activation.high)
        worst = max(worst, float((moved - value).abs().max()))
    return worst


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strength", [0.0, 0.4, -0.2])
@pytest.mark.parametrize("anderson", [0, 5])
def test_settled_means_that_no_force_is_left(kind: str, strength: float, anderson: int) -> None:
    p = problem(kind)
    nudge = Nudge(beta(strength, 6), p.y) if strength else None
    settled = exact(p.model, settle__anderson=anderson).settle(p.x, nudge)
    assert bool((settled.residual <= 1e-11).all())
    assert largest_force(p, settled.state, beta(strength, 6)) < 1e-10
    if nudge is not None:  # and the nudge did something, down to the first layer
        free = exact(p.model).settle(p.x)
        assert largest_force(p, free.state, beta(strength, 6)) > 1e-3
        assert float((settled.state[0] - free.state[0]).abs().max()) > 1e-8


def test_the_cross_entropy_read_out_shows_its_error_current() -> None:
    p = problem("cross_entropy")
    free, nudged = exact(p.model).settle(p.x), exact(p.model).settle(p.x, Nudge(beta(0.4, 6), p.y))
    assert not bool(free.state[-1].any())
    assert torch.allclose(nudged.state[-1], 0.4 * (p.y - nudged.output.softmax(1)), rtol=0, atol=1e-12)
    logits = torch.addmm(p.model.biases[-1], free.state[-2], p.model.weights[-1].T)
    assert torch.allclose(free.output, logits, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "maxpool"])  # there Phi itself changes with the state
@pytest.mark.parametrize("strength", [0.0, 0.4, -0.2])
def test_the_energy_never_rises(kind: str, strength: float) -> None:
    p = problem(kind)
    substrate = exact(p.model, settle__tolerance=1e-4, settle__nudged_tolerance=1e-3)
    start = substrate.settle(p.x)
    substrate.record_energy = True
    settled = substrate.settle(p.x, Nudge(beta(strength, 6), p.y), start) if strength else substrate.settle(p.x)
    trace = settled.energy
    assert trace is not None and trace.shape == (int(settled.sweeps.max()), 6)
    assert bool((trace.diff(dim=0) <= 1e-12).all()) and bool((trace[-1] < trace[0]).any())
    assert float(trace[-1].sum()) == pytest.approx(float(total(p, settled.state, beta(strength, 6))), abs=1e-10)
    for row, sweeps in enumerate(settled.sweeps.tolist()):  # a sample that has stopped keeps its energy
        assert bool((trace[sweeps - 1 :, row] == trace[-1, row]).all())


def test_a_nudge_reaches_the_first_layer_in_one_sweep() -> None:
    p = problem("deep")
    substrate = exact(p.model)
    free = substrate.settle(p.x)
    nudged = substrate.settle(p.x, Nudge(beta(0.5, 6), p.y, sweeps=1), free)
    for layer, (a, b) in enumerate(zip(nudged.state, free.state, strict=True), start=1):
        assert float((a - b).abs().amax(1).min()) > 1e-5, layer


def test_the_free_phase_starts_with_a_feed_forward_pass() -> None:
    p = problem("mlp")
    value, state = p.x, list[Tensor]()
    for layer, weight, bias in zip(p.model.layers, p.model.weights, p.model.biases, strict=True):
        drive = torch.addmm(bias, value, weight.T)
        value = drive if layer.activation is None else layer.activation.rho(drive)
        state.append(value)
    start = Settled(state, value, torch.zeros(6), torch.zeros(6))
    given, own = after(p.model, p.x, 1, start), after(p.model, p.x, 1)
    assert all(torch.allclose(a, b, rtol=0, atol=1e-13) for a, b in zip(given.state, own.state, strict=True))
    assert torch.allclose(given.residual, own.residual, rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", ["mlp", "cross_entropy", "skip", "conv"])
def test_copies_settle_together_as_apart(kind: str) -> None:
    p = problem(kind)
    substrate = exact(p.model, settle__nudged_tolerance=1e-3)
    free = substrate.settle(p.x)
    both = substrate.settle(p.x, Nudge(torch.cat([beta(0.3, 6), beta(-0.3, 6)]), p.y), free)
    for k, sign in enumerate((0.3, -0.3)):
        alone = substrate.settle(p.x, Nudge(beta(sign, 6), p.y), free)
        rows = slice(6 * k, 6 * k + 6)
        assert torch.equal(both.sweeps[rows], alone.sweeps)
        for a, b in zip([*both.state, both.output], [*alone.state, alone.output], strict=True):
            assert torch.allclose(a[rows], b, rtol=0, atol=1e-12)
    on = substrate.settle(p.x, Nudge(torch.cat([beta(0.3, 6), beta(-0.3, 6)]), p.y, sweeps=1), both)  # from copies
    assert float((on.state[0] - both.state[0]).abs().max()) <= 3e-4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sweeps", [1, 3])
def test_copies_that_share_their_start_settle_as_apart(kind: str, sweeps: int) -> None:
    p = problem(kind)
    substrate = exact(p.model, settle__nudged_tolerance=0.0, settle__nudged_sweeps=sweeps)
    free = substrate.settle(p.x)
    held = [value.clone() for value in free.state]
    both = substrate.settle(p.x, Nudge(torch.cat([beta(0.3, 6), beta(-0.3, 6)]), p.y), free)
    for k, sign in enumerate((0.3, -0.3)):
        alone = substrate.settle(p.x, Nudge(beta(sign, 6), p.y), free)
        rows = slice(6 * k, 6 * k + 6)
        assert torch.allclose(both.residual[rows], alone.residual, rtol=0, atol=1e-12)
        for a, b in zip([*both.state, both.output], [*alone.state, alone.output], strict=True):
            assert torch.allclose(a[rows], b, rtol=0, atol=1e-12)
    for value in both.state:
        value.fill_(-1.0)  # what estimators do with it leaves the free phase alone
    assert all(torch.equal(a, b) for a, b in zip(free.state, held, strict=True))


def test_a_nudge_of_strength_zero_changes_nothing() -> None:
    p = problem("skip")
    free = exact(p.model).settle(p.x)
    same = exact(p.model, settle__nudged_sweeps=50).settle(p.x, Nudge(beta(0.0, 6), p.y), free)
    assert all(torch.allclose(a, b, rtol=0, atol=1e-11) for a, b in zip(same.state, free.state, strict=True))


def after(model: Model, x: Tensor, sweeps: int, start: Settled | None = None) -> Settled:
    return exact(model, settle__tolerance=0.0, settle__free_sweeps=sweeps).settle(x, start=start)


def test_sweeps_and_residual_are_those_of_the_state() -> None:
    p = problem("mlp")
    settled = exact(p.model, settle__tolerance=1e-4).settle(p.x)
    assert len(set(settled.sweeps.tolist())) > 1 and bool((settled.residual <= 1e-4).all())
    for row, sweeps in enumerate(settled.sweeps.tolist()):
        last, before = after(p.model, p.x, sweeps), after(p.model, p.x, sweeps - 1)
        assert all(torch.allclose(a[row], b[row], atol=1e-13) for a, b in zip(last.state, settled.state, strict=True))
        moved = max(float((a[row] - b[row]).abs().max()) for a, b in zip(last.state, before.state, strict=True))
        assert float(settled.residual[row]) == pytest.approx(moved, rel=1e-6) and float(before.residual[row]) > 1e-4
    again = after(p.model, p.x, 1, settled)
    assert bool((again.residual <= 1e-4).all())


def test_the_cap_is_reported_as_such() -> None:
    p = problem("mlp")
    free = exact(p.model, settle__free_sweeps=2).settle(p.x)
    assert free.sweeps.tolist() == [2] * 6 and bool((free.residual > 1e-12).all())
    nudged = exact(p.model, settle__nudged_sweeps=2).settle(p.x, Nudge(beta(0.3, 6), p.y))
    assert nudged.sweeps.tolist() == [2] * 6 and bool((nudged.residual > 1e-11).all())


def test_tolerance_zero_runs_every_sweep() -> None:
    p = problem("mlp")
    settled = after(p.model, p.x, 300)  # long since at rest
    assert settled.sweeps.tolist() == [300] * 6 and bool((settled.residual < 1e-12).all())


@pytest.mark.parametrize("tolerance", [0.0, 1e-11])
def test_a_nudge_may_cap_its_own_sweeps(tolerance: float) -> None:
    p = problem("mlp")
    substrate = exact(p.model, settle__nudged_tolerance=tolerance, settle__nudged_sweeps=40)
    free = substrate.settle(p.x)
    capped = substrate.settle(p.x, Nudge(beta(0.3, 6), p.y, sweeps=3), free)
    assert capped.sweeps.tolist() == [3] * 6
    assert bool((substrate.settle(p.x, Nudge(beta(0.3, 6), p.y), free).sweeps > 3).all())


def test_a_free_phase_may_start_from_the_state_of_other_inputs() -> None:
    p = problem("skip")
    substrate = exact(p.model)
    other = substrate.settle(p.x.flip(0))
    for mine, theirs in zip(substrate.settle(p.x, start=other).state, substrate.settle(p.x).state, strict=True):
        assert torch.allclose(mine, theirs, rtol=0, atol=1e-9)


def test_settling_changes_nothing_that_it_was_given() -> None:
    p = problem("convskip")
    substrate = exact(p.model, settle__anderson=5)
    free = substrate.settle(p.x)
    given = [p.x, p.y, *free.state, free.output, *p.model.tensors().values(), *substrate.snapshot().values()]
    kept = [value.clone() for value in given]
    substrate.settle(p.x, Nudge(beta(0.3, 6), p.y), free)
    now = [p.x, p.y, *free.state, free.output, *p.model.tensors().values(), *substrate.snapshot().values()]
    assert all(torch.equal(a, b) for a, b in zip(now, kept, strict=True))


@pytest.mark.parametrize("kind", ["mlp", "tanh", "sigmoid", "cross_entropy", "skip", "conv"])
def test_euler_integration_finds_the_same_state(kind: str) -> None:
    p = problem(kind)
    euler = machine(p.model, "reference", settle__tolerance=1e-9, settle__nudged_tolerance=1e-9, settle__euler_step=0.5)
    for nudge in (None, Nudge(torch.cat([beta(0.3, 6), beta(-0.3, 6)]), p.y)):
        slow, fast = euler.settle(p.x, nudge), exact(p.model).settle(p.x, nudge)
        for a, b in zip([*slow.state, slow.output], [*fast.state, fast.output], strict=True):
            assert torch.allclose(a, b, rtol=0, atol=1e-6)
        assert bool((slow.residual <= 1e-9).all())
