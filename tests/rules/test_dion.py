"""Dion against its defining identities and a plain float64 transcription of the equations."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mep_hw.errors import InputError
from mep_hw.outersum import OuterSum, dense
from mep_hw.rules import Dion


def contrast(generator: torch.Generator, shape: tuple[int, int], columns: int = 12) -> OuterSum:
    left, right = (torch.randn(n, columns, generator=generator, dtype=torch.float64) for n in shape)
    return OuterSum(left, right, 0.1)


def transcribed(g: Tensor, m: Tensor, q: Tensor, mu: float) -> tuple[Tensor, Tensor, Tensor]:
    """The equations of arXiv 2504.05295, algorithm 1, line by line: update / lr, M, Q."""
    buffer = m + g
    p = torch.linalg.qr(buffer @ q)[0]
    r = buffer.T @ p
    normed = r / r.norm(dim=0, keepdim=True)
    return (g.shape[0] / g.shape[1]) ** 0.5 * p @ normed.T, buffer - (1 - mu) * p @ r.T, normed


@pytest.mark.parametrize("factored", [True, False], ids=["factors", "dense"])
@pytest.mark.parametrize("shape", [(10, 24), (24, 10)], ids=str)
def test_the_equations(shape: tuple[int, int], factored: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    rule = Dion(rank=4, momentum=0.9)
    memory = rule.init(shape, generator, torch.float64)
    m, q = memory["m"], memory["q"]
    for _ in range(20):
        g = contrast(generator, shape)
        kept = {key: value.clone() for key, value in memory.items()}
        update, new = rule.step(g if factored else g.dense(), memory, lr=0.5)
        assert all(torch.equal(memory[key], kept[key]) for key in kept)
        memory = new
        expected, m, q = transcribed(g.dense(), m, q, 0.9)
        assert isinstance(update, OuterSum) and update.rank == 4
        assert torch.allclose(update.left.T @ update.left, torch.eye(4, dtype=torch.float64), atol=1e-10)
        assert torch.allclose(update.dense(), 0.5 * expected, atol=1e-9)
        assert torch.allclose(memory["m"], m, atol=1e-9) and torch.allclose(memory["q"], q, atol=1e-9)


def test_feedback_loses_nothing() -> None:
    """M + contrast = M_after + (1 - momentum) P R^T, in float32."""
    generator = torch.Generator().manual_seed(1)
    rule = Dion(fraction=0.5, momentum=0.8)
    memory = rule.init((8, 12), generator, torch.float32)
    for _ in range(10):
        g = torch.randn(8, 12, generator=generator)
        before = memory["m"] + g
        update, memory = rule.step(g, memory, lr=1.0)
        assert isinstance(update, OuterSum)
        applied = 0.2 * update.left @ (before.T @ update.left).T
        assert torch.allclose(before, memory["m"] + applied, rtol=0, atol=1e-6 * float(before.abs().max()))


def test_factors_are_never_formed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OuterSum, "add_to", lambda *_: pytest.fail("the contrast was formed"))
    generator = torch.Generator().manual_seed(1)
    rule = Dion(rank=2)
    rule.step(contrast(generator, (8, 12)), rule.init((8, 12), generator, torch.float64), lr=1.0)


def test_at_full_rank_a_fixed_matrix_gives_its_polar_factor() -> None:
    generator = torch.Generator().manual_seed(2)
    fixed = torch.randn(16, 24, generator=generator, dtype=torch.float64)
    u, _, v = torch.linalg.svd(fixed, full_matrices=False)
    rule = Dion(fraction=1.0, scale="none")
    memory = rule.init((16, 24), generator, torch.float64)
    distances: list[float] = []
    for _ in range(200):
        update, memory = rule.step(fixed, memory, lr=1.0)
        distances.append(float((dense(update) - u @ v).norm() / 4))  # |polar factor| = sqrt(16)
    assert distances[0] > 0.05 and distances[-1] <= 1e-3


def test_without_feedback_what_is_left_out_is_forgotten() -> None:
    generator = torch.Generator().manual_seed(2)
    g = torch.randn(8, 12, generator=generator)
    for feedback, share in ((True, None), (False, 0.9)):
        rule = Dion(rank=1, momentum=0.9, feedback=feedback)
        _, memory = rule.step(g, rule.init((8, 12), torch.Generator().manual_seed(0), torch.float32), lr=1.0)
        values = torch.linalg.svdvals(memory["m"]) / torch.linalg.svdvals(g)
        if share is not None:
            assert torch.allclose(values, torch.full_like(values, share), atol=1e-5)
        else:
            assert float(values[-1]) > 0.95  # the weakest directions were hardly applied, so they stay


@pytest.mark.parametrize(("shape", "rule", "rank"), [
    ((24, 64), Dion(), 6), ((10, 24), Dion(), 3), ((10, 24), Dion(rank=32), 10), ((16, 2, 3, 3), Dion(fraction=0.1), 2),
])  # fmt: skip
def test_the_rank_fits_the_shape(shape: tuple[int, ...], rule: Dion, rank: int) -> None:
    generator = torch.Generator().manual_seed(0)
    memory = rule.init(shape, generator, torch.float32)
    update, memory = rule.step(torch.randn(shape, generator=generator), memory, lr=1.0)
    assert rule.width(shape) == rank and memory["m"].shape == shape
    assert int((torch.linalg.svdvals(dense(update).flatten(1)) > 1e-4).sum()) == rank


def test_directions_that_are_absent_are_not_written() -> None:
    generator = torch.Generator().manual_seed(0)
    rule = Dion(rank=3)
    memory = rule.init((6, 8), generator, torch.float32)
    nothing, memory = rule.step(torch.zeros(6, 8), memory, lr=1.0)
    assert torch.equal(dense(nothing), torch.zeros(6, 8)) and float(memory["q"].norm()) == pytest.approx(3**0.5)
    one = torch.outer(torch.randn(6, generator=generator), torch.randn(8, generator=generator))
    update, _ = rule.step(one, memory, lr=1.0)
    assert int((torch.linalg.svdvals(dense(update)) > 1e-4).sum()) == 1


@pytest.mark.parametrize(("given", "message"), [
    ({"rank": 0}, "rank = 0: must be at least 1"),
    ({"fraction": 0.0}, "fraction = 0.0: must be above 0 and at most 1"),
    ({"fraction": 1.5}, "fraction = 1.5: must be above 0 and at most 1"),
    ({"rank": 2, "fraction": 0.5}, "stands beside a fraction"),
])  # fmt: skip
def test_wrong_ranks_are_refused(given: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Dion(**given)  # type: ignore[arg-type]


def test_an_unknown_scale_is_refused_at_once() -> None:
    with pytest.raises(InputError, match="rule dion: scale = wide: is not one of original, spectral"):
        Dion(scale="wide")
