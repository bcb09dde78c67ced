"""The spectral bound against a full SVD."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mep_hw.errors import InputError
from mep_hw.outersum import OuterSum, add_into_, dense
from mep_hw.rules import Bounded, Memory, Muon, Rule, Sgd
from mep_hw.rules.softcap import REACH, soft_cap
from mep_hw.rules.spectral import METHODS

GAMMA = 0.95
SHAPES = [(12, 20), (20, 12), (6, 2, 3, 3)]


def norm(weights: Tensor) -> float:
    return float(torch.linalg.matrix_norm(weights.flatten(1), 2))


def start(rule: Rule, shape: tuple[int, ...], size: float = 0.1) -> tuple[Tensor, Memory, torch.Generator]:
    generator = torch.Generator().manual_seed(0)
    return size * torch.randn(shape, generator=generator), rule.init(shape, generator, torch.float32), generator


def factors(generator: torch.Generator, shape: tuple[int, ...]) -> OuterSum:
    return OuterSum(torch.randn(shape[0], 3, generator=generator), torch.randn(shape[1], 3, generator=generator))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("method", ["normalise", "soft_cap"])
@pytest.mark.parametrize("lr", [0.01, 0.3, 5.0])
def test_the_bound_holds_after_every_step(method: str, shape: tuple[int, ...], lr: float) -> None:
    rule = Bounded(Sgd(), GAMMA, method)
    weights, memory, generator = start(rule, shape, 1.0)  # far above the bound at first
    reached = 0.0
    for step in range(60):
        # Now and then in a direction that the power iteration has never seen.
        contrast = torch.randn(shape, generator=generator)
        if step % 3 == 0:
            contrast = torch.zeros(shape)
            contrast[:, step % 2] = 1.0
        update, memory = rule.step(contrast, memory, lr=lr, weights=weights.clone())
        add_into_(weights, update)
        assert norm(weights) <= 1.02 * GAMMA
        reached = max(reached, norm(weights))
    assert reached > 0.9 * GAMMA  # and is not kept by shrinking everything


@pytest.mark.parametrize("size", [16, 48])  # decomposed exactly, and searched
@pytest.mark.parametrize("method", METHODS)
def test_a_direction_beside_the_remembered_ones_is_seen(method: str, size: int) -> None:
    """The remembered directions are converged when the weakest of all begins to grow."""
    rule = Bounded(Sgd(), GAMMA, method)
    weights, memory, generator = start(rule, (size, size), 0.1)
    for _ in range(20):
        quiet = 1e-3 * torch.randn(size, size, generator=generator)
        update, memory = rule.step(quiet, memory, lr=1.0, weights=weights.clone())
        add_into_(weights, update)
    u, _, v = torch.linalg.svd(weights)
    weakest = 1.5 * torch.outer(u[:, -1], v[-1])
    for _ in range(4):
        update, memory = rule.step(weakest, memory, lr=1.0, weights=weights.clone())
        add_into_(weights, update)
        assert norm(weights) <= 1.02 * GAMMA


@pytest.mark.parametrize("factored", [True, False], ids=["factors", "dense"])
def test_hammer_brings_the_norm_down_and_counts_what_it_wrote(factored: bool) -> None:
    rule = Bounded(Sgd(), GAMMA, "hammer")
    weights, memory, generator = start(rule, (12, 20), 0.5)
    above = int((torch.linalg.svdvals(weights) > GAMMA).sum())
    for step in range(30):
        contrast = factors(generator, (12, 20)) * 0.0
        update, memory = rule.step(contrast if factored else contrast.dense(), memory, lr=1.0, weights=weights.clone())
        assert step > 0 or 4 < int(torch.linalg.matrix_rank(dense(update))) <= int(memory["directions"]) <= 16
        add_into_(weights, update)
    assert norm(weights) == pytest.approx(GAMMA, rel=1e-2)
    assert above > 4 and int(memory["directions"]) >= above and bool(memory["held"])


def test_hammer_stops_after_its_cycles_and_says_that_the_bound_does_not_hold() -> None:
    rule = Bounded(Sgd(), 0.5, "hammer", cycles=2)
    weights, memory, _ = start(rule, (8, 8))
    weights = torch.diag(torch.tensor([2.0, 1.9, 1.8, 1.7, 1.6, 1.5, 0.1, 0.1]))
    update, memory = rule.step(torch.zeros(8, 8), memory, lr=1.0, weights=weights.clone())
    assert int(torch.linalg.matrix_rank(update if isinstance(update, Tensor) else update.dense())) == 2
    assert int(memory["directions"]) == 2 and not bool(memory["held"])
    for _ in range(8):
        add_into_(weights, update)
        update, memory = rule.step(torch.zeros(8, 8), memory, lr=1.0, weights=weights.clone())
    assert norm(weights) == pytest.approx(0.5, rel=2e-2)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("factored", [True, False], ids=["factors", "dense"])
def test_weak_weights_are_left_alone(method: str, factored: bool) -> None:
    rule = Bounded(Sgd(), GAMMA, method)
    weights, memory, generator = start(rule, (12, 20), 0.01)
    contrast = factors(generator, (12, 20))
    given = contrast if factored else contrast.dense()
    update, memory = rule.step(given, memory, lr=0.001, weights=weights)
    assert torch.equal(dense(update), dense(given * 0.001)) and int(memory["directions"]) == 0


def test_a_convolution_keeps_its_shape_when_factors_become_dense() -> None:
    rule = Bounded(Sgd(), 0.1, "hammer")
    weights, memory, generator = start(rule, (6, 2, 3, 3), 0.5)
    update, _ = rule.step(factors(generator, (6, 18)), memory, lr=0.05, weights=weights)
    assert isinstance(update, Tensor) and update.shape == weights.shape
    assert norm(weights + update) <= 0.102


def test_factors_stay_factors_under_hammer() -> None:
    rule = Bounded(Sgd(), 0.2, "hammer")
    weights, memory, generator = start(rule, (12, 20), 0.01)
    update, memory = rule.step(factors(generator, (12, 20)), memory, lr=0.05, weights=weights)
    assert isinstance(update, OuterSum) and update.rank == 3 + int(memory["directions"]) > 3


@pytest.mark.parametrize("method", METHODS)
def test_the_rules_memory_goes_through(method: str) -> None:
    inner = Muon()
    rule = Bounded(inner, 0.5, method)
    weights, memory, generator = start(rule, (6, 9))
    kept = {key: value.clone() for key, value in memory.items()}
    contrast = torch.randn(6, 9, generator=generator)
    _, new = rule.step(contrast, memory, lr=0.1, weights=weights)
    expected = inner.step(contrast, {"m": memory["rule.m"]}, lr=0.1)[1]["m"]
    assert torch.equal(new["rule.m"], expected) and new.keys() == memory.keys()
    assert all(torch.equal(memory[key], kept[key]) for key in kept)


@pytest.mark.parametrize("ratio", [1.01, REACH, 2.0, 10.0])
def test_the_soft_cap_bounds_all_and_spares_the_small(ratio: float) -> None:
    values = torch.linspace(0, 1, 200, dtype=torch.float64)
    capped = torch.linalg.svdvals(soft_cap(torch.diag(values * 0.9 * ratio), 0.9 * ratio, 0.9)).flip(0)
    assert float(capped.max()) == pytest.approx(0.9, abs=1e-9)  # reached by the largest, passed by none
    assert bool((capped.diff() >= -1e-12).all())  # the order stays
    small = values * 0.9 * ratio < 0.09
    assert torch.allclose(capped[small], (values * 0.9 * ratio)[small], rtol=0.1 * (ratio - 1) + 1e-3)


@pytest.mark.parametrize(("given", "message"), [
    ({"bound": 0.0}, "bound = 0.0: must be above 0"),
    ({"bound": float("inf")}, "bound = inf: must be above 0"),
    ({"method": "saw"}, "method = saw: is not one of hammer, normalise, soft_cap"),
    ({"cycles": 0}, "cycles = 0: must be at least 1"),
])  # fmt: skip
def test_wrong_bounds_are_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Bounded(Sgd(), **given)  # type: ignore[arg-type]
