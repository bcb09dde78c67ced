"""Rotated factors: the same product, never dearer, and as cheap as a long gradient descent finds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
import torch
from helpers import machine
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mep_hw import estimator
from mep_hw.compiler.rotate import Goal, rotated
from mep_hw.data.convert import one_hot
from mep_hw.data.sets import digits
from mep_hw.model import mlp
from mep_hw.outersum import OuterSum, Update
from mep_hw.rules import Asked, Dion, Memory
from mep_hw.schedule.trains import outer
from mep_hw.training.step import TrainingStep

GOALS: tuple[Goal, ...] = ("pulses", "slots")
EXACT = {torch.float32: 1e-6, torch.float64: 1e-12}
Factors = tuple[Tensor, Tensor]


def total(factors: Factors, goal: Goal) -> float:
    """Pulses or slots times the step, as the compiler's trains count them."""
    sizes = [side.double().abs().sum(0) if goal == "pulses" else side.double().abs().amax(0) for side in factors]
    return float(sizes[0] @ sizes[1])


def entries(factors: Factors) -> float:
    """The pulses of the product's entries by themselves, which no choice of factors goes below."""
    return float((factors[0].double() @ factors[1].double().T).abs().sum())


def miss(found: Factors, wanted: Factors) -> float:
    """Distance of the products over the sizes of their terms, which may cancel in the sum."""
    products = [left.double() @ right.double().T for left, right in (found, wanted)]
    scale = (wanted[0].double().norm(dim=0) * wanted[1].double().norm(dim=0)).norm()
    return float((products[0] - products[1]).norm() / scale)


def random(rows: tuple[int, int], rank: int, seed: int = 0, fall: float = 1.0) -> Factors:
    """Gaussian columns whose sizes fall by that factor from one to the next."""
    generator = torch.Generator().manual_seed(seed)
    left, right = (torch.randn(n, rank, generator=generator) for n in rows)
    return left * fall ** torch.arange(rank), right


def orthonormal(rows: tuple[int, int], rank: int) -> Factors:
    left, right = random(rows, rank)
    return torch.linalg.qr(left)[0], torch.linalg.qr(right)[0]


@dataclass(frozen=True)
class Kept(Dion):
    """Dion that keeps every update it makes."""

    updates: list[Update] = field(default_factory=list[Update])

    def several(self, group: Sequence[Asked]) -> list[tuple[Update, Memory]]:
        found = super().several(group)
        self.updates.extend(update for update, _ in found)
        return found


@pytest.fixture(scope="module")
def trained() -> list[Factors]:
    """Factors of both couplings of 64-128-10 after 1, 15 and 40 batches of digits: (128, 64) and (10, 128) in turn."""
    rule, data = Kept(rank=16), digits()
    training = TrainingStep(machine(mlp(64, 128, 10)), estimator.make("centered", 0.1), rule, lr=0.02)
    for x, y in zip(data.x.split(32)[:40], one_hot(data.y, 10).split(32), strict=False):
        training(x, y)
    chosen = [rule.updates[2 * batch + coupling] for batch in (0, 14, 39) for coupling in (0, 1)]
    return [(u.left * u.scale, u.right) for u in chosen if isinstance(u, OuterSum)]


def descended(factors: Factors, goal: Goal, steps: int = 600) -> float:
    """The lowest that Adam finds over all invertible T, from a random rotation of the factors."""
    left, right = (side.double() for side in factors)
    root = (torch.linalg.matrix_norm(left) / torch.linalg.matrix_norm(right)).sqrt()
    left, right = left / root, right * root
    generator = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(left.shape[1], left.shape[1], generator=generator, dtype=left.dtype))[0]
    adam = torch.optim.Adam([turn.requires_grad_()])
    lowest = math.inf
    for step in range(steps):
        rest = 1 - step / steps
        adam.param_groups[0]["lr"] = 0.01 * rest
        sides = left @ turn, right @ torch.linalg.inv(turn).T
        if goal == "pulses":
            sizes = [(s**2 + (0.1 * rest**2) ** 2 * (s.detach() ** 2).mean(0)).sqrt().sum(0) for s in sides]
        else:
            sizes = [torch.linalg.vector_norm(s, 4 * 32 ** (1 - rest), dim=0) for s in sides]
        adam.zero_grad()
        (sizes[0] @ sizes[1]).backward()
        adam.step()
        lowest = min(lowest, total((sides[0].detach(), sides[1].detach()), goal))
    return lowest


@settings(max_examples=150, deadline=None)
@given(
    rows=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    rank=st.integers(0, 20),
    fall=st.sampled_from([1.0, 0.7, 0.1]),
    kind=st.sampled_from(["plain", "repeated", "zeros", "peaked", "unequal"]),
    goal=st.sampled_from(GOALS),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 10),
)
def test_the_product_is_kept_and_never_dearer(
    rows: tuple[int, int], rank: int, fall: float, kind: str, goal: Goal, dtype: torch.dtype, seed: int
) -> None:
    left, right = (side.to(dtype) for side in random(rows, rank, seed, fall))
    if kind == "repeated" and rank:
        left[:, rank // 2 :] = left[:, :1]
    elif kind == "zeros":
        left[:, ::3], right[:, 1::4] = 0, 0
    elif kind == "peaked":  # nothing is lower than this where pulses count
        left = torch.eye(rows[0], rank, dtype=dtype)
    elif kind == "unequal":
        left, right = left * 1e6, right * 1e-8
    before = left.clone(), right.clone()
    found = rotated(left, right, goal)
    assert torch.equal(left, before[0]) and torch.equal(right, before[1])
    assert found[0].dtype == found[1].dtype == dtype
    assert found[0].shape[1] == found[1].shape[1] <= rank
    if entries(before):
        assert miss(found, before) < EXACT[dtype]
    assert total(found, goal) <= total(before, goal) * (1 + 10 * EXACT[dtype])
    assert torch.allclose(found[0].abs().amax(0), found[1].abs().amax(0), rtol=1e-5, atol=0)


def test_what_is_no_direction_takes_no_cycle() -> None:
    left, right = random((30, 20), 6)
    left[:, 4] = left[:, 1]
    right[:, 2] = 0
    for goal in GOALS:
        assert rotated(left, right, goal)[0].shape == (30, 4)
    nothing = rotated(left * 0, right, "slots")
    assert nothing[0].shape == (30, 0) and nothing[1].shape == (20, 0)


@pytest.mark.parametrize("goal", GOALS)
def test_factors_of_training_get_as_low_as_long_descent(trained: list[Factors], goal: Goal) -> None:
    bar = {"pulses": 1.03, "slots": 1.2}[goal]  # measured 1.01 to 1.02, and 1.11
    hidden = trained[2::2]
    found = sum(total(rotated(*factors, goal), goal) for factors in hidden)
    assert found < bar * sum(descended(factors, goal) for factors in hidden)


def test_gains_on_factors_of_training(trained: list[Factors]) -> None:
    for hidden in trained[::2]:  # rank 16 of 64
        assert total(rotated(*hidden, "pulses"), "pulses") < 0.77 * total(hidden, "pulses")  # measured 0.70 to 0.75
        assert total(rotated(*hidden, "slots"), "slots") < 0.50 * total(hidden, "slots")  # 0.42 to 0.46
    for full in trained[1::2]:  # all 10 directions of the read-out
        assert total(rotated(*full, "pulses"), "pulses") == pytest.approx(entries(full), rel=1e-6)
        assert total(rotated(*full, "slots"), "slots") < 0.55 * total(full, "slots")


@pytest.mark.parametrize(
    ("rows", "rank", "pulses", "slots"), [((512, 512), 16, 0.95, 0.55), ((128, 64), 16, 0.83, 0.5)]
)
def test_law_of_incoherent_factors_and_gain_over_it(
    rows: tuple[int, int], rank: int, pulses: float, slots: float
) -> None:
    factors = orthonormal(rows, rank)
    assert total(factors, "pulses") / entries(factors) == pytest.approx(math.sqrt(2 * rank / math.pi), rel=0.05)
    assert total(rotated(*factors, "pulses"), "pulses") < pulses * total(factors, "pulses")
    assert total(rotated(*factors, "slots"), "slots") < slots * total(factors, "slots")


@pytest.mark.parametrize(
    ("rows", "rank", "fall", "pulses", "slots"),
    [
        ((512, 512), 64, 0.87, 0.93, 0.57),
        ((150, 260), 119, 0.95, 0.73, 0.42),
        ((128, 100), 64, 1.0, 0.57, 0.29),
        ((300, 12), 8, 0.9, 0.73, 0.55),
    ],
)
def test_steep_wide_and_narrow_factors_descend_too(
    rows: tuple[int, int], rank: int, fall: float, pulses: float, slots: float
) -> None:
    # Bars are 5 to 12 % above what was measured. Where it diverges, the factors given come back.
    factors = random(rows, rank, seed=3, fall=fall)
    assert total(rotated(*factors, "pulses"), "pulses") < pulses * total(factors, "pulses")
    assert total(rotated(*factors, "slots"), "slots") < slots * total(factors, "slots")


@pytest.mark.parametrize("length", [2, 5, 10])
def test_whole_slots_of_trains_fall_too(trained: list[Factors], length: int) -> None:
    before = after = 0
    for factors in trained:
        step = total(factors, "slots") / factors[0].shape[1] / length  # cycles of this many slots in the mean
        before += len(outer(OuterSum(*factors), step, None).words)
        after += len(outer(OuterSum(*rotated(*factors, "slots")), step, None).words)
    assert after < 0.6 * before  # measured 0.48 to 0.51


def test_repeats_give_the_same_bits_and_no_graph() -> None:
    left, right = (side.requires_grad_() for side in random((50, 40), 7))
    first, second = rotated(left, right, "slots"), rotated(left, right, "slots")
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b) and not a.requires_grad
