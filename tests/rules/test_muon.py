"""Muon against torch.optim.Muon, an independent implementation of the same convention."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mep_hw.errors import InputError
from mep_hw.outersum import OuterSum, add_into_, dense
from mep_hw.rules import Adam, Decayed, Muon, Rule
from mep_hw.rules.base import Memory

STEPS = 50
SCALES = {"original": "original", "adam": "match_rms_adamw"}


def both(rule: Rule, reference: torch.optim.Optimizer, mine: Tensor, theirs: Tensor) -> tuple[Tensor, Memory]:
    """`mine` after STEPS of the rule; the reference trains `theirs` on the same contrasts."""
    generator = torch.Generator().manual_seed(3)
    memory = rule.init(tuple(mine.shape), generator, torch.float32)
    for step in range(STEPS):
        scale = 10.0 ** (-step % 7 - 3)  # contrasts of very different sizes, as in the layers of a deep model
        contrast = scale * torch.randn(mine.shape, generator=generator)
        theirs.grad = -contrast
        reference.step()
        update, memory = rule.step(contrast, memory, lr=0.02, weights=mine.clone())
        add_into_(mine, update)
    return mine, memory


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("shape", [(24, 64), (64, 24)], ids=str)
@pytest.mark.parametrize(("dtype", "bar"), [(torch.bfloat16, 1e-6), (torch.float32, 5e-3)], ids=["bf16", "fp32"])
def test_the_same_fifty_steps_as_torch(
    shape: tuple[int, int], scale: str, nesterov: bool, dtype: torch.dtype, bar: float
) -> None:
    mine = torch.randn(shape, generator=torch.Generator().manual_seed(0)) / math.sqrt(shape[1])
    theirs = mine.clone().requires_grad_()
    reference = torch.optim.Muon(
        [theirs], lr=0.02, weight_decay=0.1, nesterov=nesterov, adjust_lr_fn=SCALES[scale]
    )  # fmt: skip
    rule = Decayed(Muon(nesterov=nesterov, method="quintic", dtype=dtype, scale=scale), 0.1)
    start = mine.clone()
    result, _ = both(rule, reference, mine, theirs)
    if dtype == torch.bfloat16:  # the same directions to the last bit; only the order of adding decay differs
        assert torch.allclose(result, theirs.detach(), rtol=bar, atol=bar)
    else:
        assert float((result - theirs.detach()).norm() / (theirs.detach() - start).norm()) <= bar


def test_bfloat16_weights_without_nesterov_keep_their_momentum() -> None:
    """torch 2.13 normalises the momentum buffer in place there; the reference is the plain recursion."""
    rule, expected = Muon(nesterov=False, method="quintic"), torch.zeros(8, 12)
    generator = torch.Generator().manual_seed(0)
    memory = rule.init((8, 12), generator, torch.bfloat16)
    for _ in range(5):
        contrast = torch.randn(8, 12, generator=generator).bfloat16()
        expected = 0.95 * expected + 0.05 * contrast.float()
        kept = memory["m"].clone()
        update, new = rule.step(contrast, memory, lr=0.1)
        assert torch.equal(memory["m"], kept) and dense(update).dtype == torch.bfloat16
        memory = new
    assert torch.allclose(memory["m"].float(), expected, rtol=0, atol=0.02)


def test_factors_and_dense_contrasts_agree() -> None:
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(6, 4, generator=generator), torch.randn(9, 4, generator=generator)
    rule = Muon()
    memory = {"m": torch.randn(6, 9, generator=generator)}
    a, after_a = rule.step(OuterSum(left, right, 0.3), memory, lr=0.1)
    b, after_b = rule.step(0.3 * left @ right.T, memory, lr=0.1)
    assert torch.allclose(dense(a), dense(b), atol=1e-5) and torch.allclose(after_a["m"], after_b["m"], atol=1e-6)


def test_a_convolution_is_a_matrix_of_flattened_kernels() -> None:
    generator = torch.Generator().manual_seed(0)
    contrast = torch.randn(5, 2, 3, 3, generator=generator)
    rule = Muon()
    update, memory = rule.step(contrast, rule.init((5, 2, 3, 3), generator, torch.float32), lr=0.5)
    assert dense(update).shape == memory["m"].shape == (5, 2, 3, 3)
    assert torch.allclose(torch.linalg.svdvals(dense(update).flatten(1)), torch.full((5,), 0.5), atol=1e-5)


@pytest.mark.parametrize(
    ("scale", "factor"),
    [("original", 1.0), ("spectral", math.sqrt(4 / 16)), ("adam", 0.2 * 4), ("none", 1.0)],
)
def test_scales_follow_their_formulas(scale: str, factor: float) -> None:
    contrast = torch.randn(4, 16, generator=torch.Generator().manual_seed(0))
    update, _ = Muon(scale=scale).step(contrast, {"m": torch.zeros(4, 16)}, lr=1.0)
    assert torch.allclose(torch.linalg.svdvals(dense(update)), torch.full((4,), factor), atol=1e-5)


def test_an_unknown_scale_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="scale = width: is not one of original, spectral, adam, none"):
        Muon(scale="width").step(torch.eye(2), {"m": torch.zeros(2, 2)}, lr=1.0)


def test_biases_are_adams() -> None:
    assert isinstance(Muon().for_biases(), Adam) and Muon().bias_lr == 0.003


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"method": "newton"}, "rule muon: method = newton: is not one of auto, svd, quintic"),
        ({"scale": "wide"}, "rule muon: scale = wide: is not one of original, spectral"),
    ],
)
def test_an_unknown_name_is_refused_at_once(wrong: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Muon(**wrong)  # pyright: ignore[reportArgumentType]
