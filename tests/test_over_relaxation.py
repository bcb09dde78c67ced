"""Over-relaxed sweeps are the textbook's, go downhill, end in the same states and need fewer of them."""

from __future__ import annotations

import pytest
import torch
from helpers import machine
from problems import KINDS, problem

from mep_hw.cards.settling import SettleOptions
from mep_hw.model import Model, mlp
from mep_hw.spec import BoxSpec
from mep_hw.substrates.base import Substrate

BOXES = ("mlp", "cross_entropy", "skip", "conv", "convskip")


def relaxed(model: Model, factor: float, sweeps: int = 3000, tolerance: float = 1e-12) -> Substrate:
    return machine(
        model, compute__dtype="float64", settle__tolerance=tolerance, settle__free_sweeps=sweeps, settle__anderson=0,
        settle__over_relaxation=factor,
    )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_it_ends_in_a_state_that_plain_sweeps_leave_alone(kind: str) -> None:
    p = problem(kind)
    plain, settled = relaxed(p.model, 1.0), relaxed(p.model, 1.3).settle(p.x)
    assert bool((settled.residual <= 1e-12).all())
    again = plain.settle(p.x, start=settled)
    for mine, theirs in zip([*settled.state, settled.output], [*again.state, again.output], strict=True):
        assert torch.allclose(mine, theirs, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", BOXES)
def test_the_energy_of_boxes_never_rises(kind: str) -> None:
    p = problem(kind)
    substrate = relaxed(p.model, 1.9, sweeps=30, tolerance=0.0)
    substrate.record_energy = True
    trace = substrate.settle(p.x).energy
    assert trace is not None and trace.shape == (30, 6)
    assert bool((trace.diff(dim=0) <= 1e-12).all()) and bool((trace[-1] < trace[0]).all())


def test_without_bounds_a_sweep_is_that_of_the_matrix_splitting() -> None:
    """(1 - w L) s' = w b + (1 - w) s + w U s, of the linear system (1 - L - U) s = b that settled states solve."""
    model, w = mlp(5, 4, 3, 2, activation=BoxSpec(low=-50.0, high=50.0), dtype=torch.float64), 1.4
    generator = torch.Generator().manual_seed(0)
    for bias in model.biases:
        assert bias is not None
        bias.copy_(torch.randn(bias.shape, generator=generator, dtype=torch.float64))
    x = torch.rand(6, 5, generator=generator, dtype=torch.float64)
    start = relaxed(model, 1.0, 2, 0.0).settle(x)
    found = torch.cat(relaxed(model, w, 1, 0.0).settle(x, start=start).state, 1).T
    lower = torch.zeros(9, 9, dtype=torch.float64)
    lower[4:7, :4], lower[7:, 4:7] = model.weights[1], model.weights[2]
    drive = torch.cat([b for b in model.biases if b is not None])[:, None].repeat(1, 6)
    drive[:4] += model.weights[0] @ x.T
    before, one = torch.cat(start.state, 1).T, torch.eye(9, dtype=torch.float64)
    expected = torch.linalg.solve(one - w * lower, w * drive + (1 - w) * before + w * lower.T @ before)
    assert torch.allclose(found, expected, rtol=0, atol=1e-12)
    assert float((found - before).abs().amax(1).min()) > 1e-3  # all units moved


def test_it_saves_sweeps_where_they_contract_slowly() -> None:
    p = problem("deep")
    slow, fast = (relaxed(p.model, factor).settle(p.x).sweeps.double().mean() for factor in (1.0, 1.25))
    assert float(fast) < 0.8 * float(slow)


@pytest.mark.parametrize("kind", ["mlp", "tanh", "sigmoid"])
def test_units_stay_within_their_range(kind: str) -> None:
    p = problem(kind)
    for bias in p.model.biases[:-1]:
        assert bias is not None
        bias.mul_(30)  # drives far apart, so that the way to the minimum is long
    start = relaxed(p.model, 1.0, 1, 0.0).settle(p.x)
    for bias in p.model.biases[:-1]:
        assert bias is not None
        bias.neg_()
    moved = relaxed(p.model, 1.9, 1, 0.0).settle(p.x, start=start)
    for layer, value in zip(p.model.layers[:-1], moved.state, strict=False):
        assert layer.activation is not None
        assert float(value.min()) == layer.activation.low and float(value.max()) == layer.activation.high


def test_what_integrates_refuses_it() -> None:
    options = {"free_sweeps": 1, "nudged_sweeps": 1, "tolerance": 0.0, "nudged_tolerance": 0.0, "euler_step": 0.5}
    with pytest.raises(ValueError, match="over_relaxation must be 1 where there is an euler_step"):
        SettleOptions(over_relaxation=1.2, **options)
    with pytest.raises(ValueError, match="less than 2"):
        SettleOptions(over_relaxation=2.0, **(options | {"euler_step": None}))
