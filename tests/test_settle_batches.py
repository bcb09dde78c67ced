"""Which samples settle together never changes what one of them settles to."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from helpers import machine
from problems import problem
from torch import Tensor

from mep_hw.settle import Nudge, Settled
from mep_hw.substrates.base import Substrate

SAMPLES = 37
LIMIT = {torch.float64: 1e-10, torch.float32: 1e-4}


def in_batches(substrate: Substrate, x: Tensor, y: Tensor, size: int) -> list[tuple[Settled, Settled]]:
    """Free and nudged (both signs in one call) states of consecutive batches."""
    results: list[tuple[Settled, Settled]] = []
    for first in range(0, len(x), size):
        rows = slice(first, first + size)
        free = substrate.settle(x[rows])
        beta = torch.full((len(x[rows]),), 0.2, dtype=x.dtype)
        results.append((free, substrate.settle(x[rows], Nudge(torch.cat([beta, -beta]), y[rows]), free)))
    return results


def joined(results: list[tuple[Settled, Settled]]) -> list[Tensor]:
    """Every tensor of all batches, samples in their order; of the nudged ones, + and - side by side."""
    frees, nudged = zip(*results, strict=True)
    parts = [[*s.state, s.output, s.sweeps.to(s.output.dtype)] for s in frees]
    whole = [torch.cat(group) for group in zip(*parts, strict=True)]
    pairs = [[v.unflatten(0, (2, -1)).transpose(0, 1) for v in (*s.state, s.output)] for s in nudged]
    return whole + [torch.cat(group) for group in zip(*pairs, strict=True)]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("anderson", [0, 5])
@pytest.mark.parametrize(
    ("kind", "tolerance"),
    [("mlp", 1e-3), ("mlp", 0.0), ("deep", 1e-3), ("cross_entropy", 1e-3), ("skip", 1e-3), ("conv", 1e-3),
     ("convskip", 1e-3)],
)  # fmt: skip
def test_batch_size_does_not_matter(kind: str, tolerance: float, anderson: int, dtype: torch.dtype) -> None:
    p = problem(kind, SAMPLES, dtype)
    substrate = machine(
        p.model, compute__dtype=str(dtype).removeprefix("torch."), settle__tolerance=tolerance,
        settle__free_sweeps=60, settle__nudged_sweeps=15, settle__anderson=anderson,
    )  # fmt: skip
    whole = in_batches(substrate, p.x, p.y, SAMPLES)
    if tolerance:  # the case is worth its name only when samples leave at different sweeps
        assert len(set(whole[0][0].sweeps.tolist())) > 2 and len(set(whole[0][1].sweeps.tolist())) > 1
    for size in (1, 5, 32):
        for a, b in zip(joined(whole), joined(in_batches(substrate, p.x, p.y, size)), strict=True):
            assert float((a - b).abs().max()) <= LIMIT[dtype]


@pytest.mark.parametrize("kind", ["conv", "convskip"])
def test_as_many_samples_as_channels(kind: str) -> None:
    # A bias of shape (4, 1, 1) has four rows, as the batch has; samples leave one after another.
    p = problem(kind, 4)
    assert p.model.layers[1].bias_shape == (4, 1, 1)
    substrate = machine(p.model, compute__dtype="float64", settle__tolerance=1e-5, settle__free_sweeps=200)
    whole = in_batches(substrate, p.x, p.y, 4)
    assert any(a != b for a, b in pairwise(whole[0][0].sweeps.tolist()))
    for a, b in zip(joined(whole), joined(in_batches(substrate, p.x, p.y, 1)), strict=True):
        assert float((a - b).abs().max()) <= 1e-10
