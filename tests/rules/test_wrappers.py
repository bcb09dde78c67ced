"""Decay, clipping and error feedback around other rules; the local rule; rules by name."""

from __future__ import annotations

import pytest
import torch

from mep_hw import rules
from mep_hw.errors import CapabilityError, InputError
from mep_hw.outersum import OuterSum, add_into_, dense
from mep_hw.rules import Clipped, Decayed, Dion, ErrorFeedback, Hebbian, Muon, Sgd
from mep_hw.rules.feedback import Rounded, Truncated


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("inner", [Sgd(), Dion(rank=2)], ids=["sgd", "dion"])
def test_decoupled_decay_shrinks_the_weights_by_the_rate(inner: rules.Rule) -> None:
    weights, contrast = torch.randn(4, 6, generator=generator()), OuterSum(torch.ones(4, 1), torch.ones(6, 1))
    memory = inner.init((4, 6), generator(), torch.float32)
    plain, _ = inner.step(contrast, memory, lr=0.5)
    rule = Decayed(inner, 0.1)
    update, _ = rule.step(contrast, rule.init((4, 6), generator(), torch.float32), lr=0.5, weights=weights)
    assert torch.allclose(dense(update), dense(plain) - 0.05 * weights, atol=1e-6)


@pytest.mark.parametrize("size", [1.0, 1e30], ids=["usual", "huge"])
@pytest.mark.parametrize("factored", [True, False], ids=["factors", "dense"])
def test_clipping_shortens_long_contrasts_only(factored: bool, size: float) -> None:
    contrast = OuterSum(size * torch.randn(4, 3, generator=generator()), torch.randn(6, 3, generator=generator()), 0.7)
    length = float(contrast.dense().double().norm())
    given = contrast if factored else contrast.dense()
    for limit, expected in ((0.5 * length, 0.5), (2 * length, 1.0)):
        update, _ = Clipped(Sgd(), limit).step(given, {}, lr=1.0)
        assert torch.allclose(dense(update), expected * contrast.dense(), atol=1e-5 * size)


def test_error_feedback_keeps_the_sum_of_truncated_updates() -> None:
    rule, draw = ErrorFeedback(Sgd(), Truncated(1)), generator()
    memory = rule.init((5, 7), draw, torch.float32)
    intended, realised = torch.zeros(5, 7), torch.zeros(5, 7)
    for _ in range(30):
        contrast = torch.randn(5, 7, generator=draw)
        update, memory = rule.step(contrast, memory, lr=0.1)
        assert isinstance(update, OuterSum) and update.rank == 1
        intended += 0.1 * contrast
        add_into_(realised, update)
    assert torch.allclose(intended, realised + memory["residual"], atol=1e-5)
    assert float(memory["residual"].norm()) < 0.7 * float(intended.norm())  # it is caught up with, not piled up


def test_small_updates_reach_coarse_weights_only_with_feedback() -> None:
    moved: dict[bool, float] = {}
    for feedback in (False, True):
        weights = torch.ones(3, 3, dtype=torch.bfloat16)
        rule: rules.Rule = ErrorFeedback(Sgd(), Rounded(torch.bfloat16)) if feedback else Sgd()
        memory = rule.init((3, 3), generator(), torch.bfloat16)
        for _ in range(100):  # one hundredth of what bfloat16 resolves at 1
            update, memory = rule.step(torch.ones(3, 3), memory, lr=1e-4, weights=weights)
            weights = (weights.float() + dense(update).float()).bfloat16()
        moved[feedback] = float(weights.float().mean()) - 1
    assert moved[False] == 0.0 and moved[True] == pytest.approx(0.01, abs=4e-3)


def test_the_local_rule_keeps_every_outer_product() -> None:
    contrast = OuterSum(torch.randn(4, 10, generator=generator()), torch.randn(6, 10, generator=generator()))
    update, memory = Hebbian().step(contrast, {}, lr=0.5)
    assert isinstance(update, OuterSum) and update.rank == 10 and not memory
    assert torch.equal(update.dense(), 0.5 * contrast.dense())
    with pytest.raises(CapabilityError, match="cannot train a convolution"):
        Hebbian().init((4, 2, 3, 3), generator(), torch.float32)


@pytest.mark.parametrize(("name", "given", "message"), [
    ("muon", {"rank": 4}, "rank = 4: is not for rule muon; use rule dion"),
    ("sgd", {"error_feedback": False}, "error_feedback = False: is not for rule sgd"),
    ("hebbian", {"momentum": 0.9}, "momentum = 0.9: must be 0 for rule hebbian"),
    ("hebbian", {"weight_decay": 0.1}, "weight_decay = 0.1: must be 0 for rule hebbian"),
    ("sdg", {}, "rule = sdg: is not one of sgd, adam, muon, dion, natural, hebbian"),
])  # fmt: skip
def test_what_a_rule_cannot_use_is_refused(name: str, given: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        rules.make(name, **given)  # type: ignore[arg-type]


def test_the_parts_are_put_around_the_named_rule() -> None:
    rule = rules.make("muon", momentum=0.9, weight_decay=0.1, clip=2.0)
    assert isinstance(rule, Clipped) and isinstance(rule.rule, Decayed) and rule.rule.rule == Muon(momentum=0.9)
    assert rule.name == "muon" and rule.needs_weights and rule.bias_lr == 0.003
    assert isinstance(rule.for_biases(), Clipped)
    assert rules.make("dion", rank=3, error_feedback=False) == Dion(rank=3, momentum=0.0, feedback=False)
