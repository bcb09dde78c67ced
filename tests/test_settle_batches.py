"""Which samples settle together does not change what one of them settles to.

In float32 there is one exception: a sample whose residual is the tolerance to within rounding may stop a sweep earlier
or later in another batch (about 1 of 300 in slow models), and its state then differs by about the tolerance.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from helpers import machine
from problems import problem
from torch import Tensor

from mep_hw.state import Nudge, Settled
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


def joined(results: list[tuple[Settled, Settled]]) -> tuple[Tensor, Tensor]:
    """Values (samples, n) and sweeps (samples, 3) of the free phase and both signs, samples in their order."""
    values: list[Tensor] = []
    sweeps: list[Tensor] = []
    for free, nudged in results:
        rows = len(free.output)
        parts = [*free.state, free.output]
        for sign in (slice(0, rows), slice(rows, None)):
            parts += [value[sign] for value in (*nudged.state, nudged.output)]
        values.append(torch.cat([part.flatten(1) for part in parts], 1))
        sweeps.append(torch.stack([free.sweeps, nudged.sweeps[:rows], nudged.sweeps[rows:]], 1))
    return torch.cat(values), torch.cat(sweeps)


def agree(a: list[tuple[Settled, Settled]], b: list[tuple[Settled, Settled]], strangers: int = 0) -> bool:
    """Whether all samples but a few that stop at another sweep have the same states."""
    (mine, my_sweeps), (theirs, their_sweeps) = joined(a), joined(b)
    same = (my_sweeps == their_sweeps).all(1)
    apart = (mine - theirs).abs().amax(1)
    return int((~same).sum()) <= strangers and float(apart[same].max()) <= LIMIT[mine.dtype]


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
        assert len(set(whole[0][0].sweeps.tolist())) > 1 and len(set(whole[0][1].sweeps.tolist())) > 1
    for size in (1, 5, 32):
        assert agree(whole, in_batches(substrate, p.x, p.y, size), strangers=0 if dtype == torch.float64 else 1)


@pytest.mark.parametrize("kind", ["conv", "convskip"])
def test_as_many_samples_as_channels(kind: str) -> None:
    # A bias of shape (4, 1, 1) has four rows, as the batch has; samples leave one after another.
    p = problem(kind, 4)
    assert p.model.layers[1].bias_shape == (4, 1, 1)
    substrate = machine(p.model, compute__dtype="float64", settle__tolerance=1e-5, settle__free_sweeps=200)
    whole = in_batches(substrate, p.x, p.y, 4)
    assert any(a != b for a, b in pairwise(whole[0][0].sweeps.tolist()))
    assert agree(whole, in_batches(substrate, p.x, p.y, 1))
