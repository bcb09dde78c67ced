"""Shares of a batch: covered once, joined in order, and with no more numbers on the way than the page says.

The other processes are played by recordings here; tests/test_distributed.py has real ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from helpers import machine
from torch import Tensor

import mep_hw
from mep_hw import estimator, rules
from mep_hw.cards import load_backend
from mep_hw.contrast import Contrast
from mep_hw.distributed import ALONE, Job
from mep_hw.errors import CapabilityError
from mep_hw.outersum import OuterSum
from mep_hw.rules import Sgd
from mep_hw.settings import resolve
from mep_hw.training.shares import Share, require_sharable
from mep_hw.training.step import TrainingStep

SIZES = 36, 40, 30, 3


class Pretended(Job):
    """One of several processes without the others, who send what this one does, or the `answer` to a gathering."""

    def __init__(self, rank: int = 0, size: int = 3, place: str = "cpu", answer: Tensor | None = None) -> None:
        super().__init__(rank, size, place)
        self.answer, self.sent, self.summed, self.gathered = answer, [], [], []

    def sum(self, value: Tensor) -> Tensor:
        self.summed.append(value.numel())
        return value * self.size

    def gather(self, rows: Tensor, counts: Sequence[int]) -> Tensor:
        self.sent.append(rows)
        whole = rows.new_zeros(sum(counts), *rows.shape[1:]) if self.answer is None else self.answer
        self.gathered.append(whole.numel())
        return whole


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 8, 64])
def test_shares_cover_a_batch_once_and_in_order(batch: int) -> None:
    shares = [Share.of(Pretended(rank), batch) for rank in range(3)]
    rows = torch.arange(batch)
    assert torch.cat([share.rows(rows)[: share.own] for share in shares]).equal(rows)
    assert max(share.own for share in shares) - min(share.own for share in shares) <= 1
    assert sum(share.weight for share in shares) == pytest.approx(3)
    assert all(len(share.rows(rows)) for share in shares)  # one without samples settles a stand-in


def contrast(left: Tensor, right: Tensor, scale: float) -> Contrast:
    """Of one coupling; a share's mean is over its own samples."""
    free: Any = None
    return Contrast([OuterSum(left, right, scale)], [], free, lambda layer: left)


@pytest.mark.parametrize("batch", [2, 3, 4, 11])
def test_factors_come_in_the_order_of_one_process(batch: int) -> None:
    """Two copies of every sample, such as a sum and a difference of two phases."""
    copies, generator = 2, torch.Generator().manual_seed(0)
    left = torch.randn(30, copies * batch, generator=generator, dtype=torch.float64)
    right = torch.randn(40, copies * batch, generator=generator, dtype=torch.float64)
    columns = torch.arange(copies * batch).view(copies, batch)

    def joined(rank: int, answer: Tensor | None = None) -> tuple[Pretended, OuterSum]:
        group = Pretended(rank, answer=answer)
        share = Share.of(group, batch)
        mine = torch.stack([share.rows(copy) for copy in columns]).flatten()
        part = contrast(left[:, mine], right[:, mine], 0.5 / (len(mine) // copies))
        (whole,) = share.whole(part, {0: Sgd()}, []).weights
        assert isinstance(whole, OuterSum)
        return group, whole

    sent = torch.cat([joined(rank)[0].sent[0] for rank in range(3)])
    for rank in range(3):
        _, whole = joined(rank, sent)
        torch.testing.assert_close(whole.left * whole.scale, left * (0.5 / batch), rtol=1e-14, atol=0)
        assert torch.equal(whole.right, right)


@pytest.mark.parametrize("batch", [1, 4, 30, 300])
@pytest.mark.parametrize("rule", ["sgd", "dion", "hebbian"])
def test_what_travels_in_a_step(rule: str, batch: int) -> None:
    """Of a coupling its samples' columns or, if fewer, twice its weights; of Dion its factors; and the biases."""
    rank, group = 2, Pretended(size=2)
    made = rules.make(rule, rank=rank if rule == "dion" else None, group=group)
    step = TrainingStep(machine(mep_hw.mlp(*SIZES)), estimator.make("centered", 0.1), made, lr=0.01, group=group)
    share, generator = Share.of(group, batch), torch.Generator().manual_seed(1)
    x, target = torch.rand(batch, 36, generator=generator), torch.rand(batch, 3, generator=generator)
    step(share.rows(x), share.rows(target), 1.0, share)
    biases = sum(SIZES[1:])
    ends = [(out, into, batch * (1 + (n > 0))) for n, (into, out) in enumerate(zip(SIZES, SIZES[1:], strict=False))]
    if rule == "dion":
        factors = [rank * side for out, into, _ in ends for side in (out, into)]
        assert (sorted(group.summed), group.gathered) == (sorted([*factors, biases, 1]), [])
        return
    light = [k * (out + into) < 2 * out * into or rule == "hebbian" for out, into, k in ends]
    gathered = sum(k * (out + into) for (out, into, k), joined in zip(ends, light, strict=True) if joined)
    products = sum(out * into for (out, into, _), joined in zip(ends, light, strict=True) if not joined)
    assert (sum(group.gathered), group.summed) == (gathered, [products + biases])


@pytest.mark.parametrize(
    ("backend", "options", "message"),
    [
        ("crossbar", {}, "write_modes = row, outer, cell: 3 processes would be as many arrays"),
        (
            "cpu",
            {"estimator": "random_sign"},
            "estimator = random_sign: draws a sign for every sample of a whole batch",
        ),
        ("cpu", {"estimator": "continual"}, "estimator = continual: updates weights after every sweep until"),
        ("cpu", {"batch_size": 2}, "batch_size = 2: must be at least the number of processes, 3; use a larger batch"),
    ],
)
def test_what_processes_cannot_share_is_refused(backend: str, options: dict[str, object], message: str) -> None:
    chosen = load_backend(backend)
    require_sharable(ALONE, chosen, resolve(chosen, **options))
    with pytest.raises(CapabilityError) as caught:
        require_sharable(Pretended(), chosen, resolve(chosen, **options))
    assert message in str(caught.value)


def test_a_job_is_for_one_kind_of_torch_device() -> None:
    chosen = load_backend("cpu")
    with pytest.raises(CapabilityError, match="torch_device = cpu: 3 processes were joined to sum on cuda"):
        require_sharable(Pretended(place="cuda"), chosen, resolve(chosen))
