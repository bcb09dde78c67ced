"""How well a machine answers: the share of right answers and the mean loss of free phases; nothing is changed.

An answer is right when the largest output is the label, so targets that are real numbers have a loss only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mep_hw.data import Data, one_hot
from mep_hw.distributed import ALONE, Group
from mep_hw.state import Settled
from mep_hw.substrates.base import Substrate

BATCH = 500  # samples settled together; results do not depend on it


@dataclass(frozen=True)
class Score:
    """accuracy: share of right answers; None where targets are real numbers. loss: mean over the samples."""

    accuracy: float | None
    loss: float

    @property
    def merit(self) -> float:
        """By what epochs are compared, the higher the better: the accuracy, else minus the loss."""
        return -self.loss if self.accuracy is None else self.accuracy


@dataclass(frozen=True)
class Samples:
    """Inputs (n, *input_shape), targets (n, outputs) for nudge and loss, and labels (n,), in the substrate's format.

    labels: None where targets are real numbers.
    """

    x: Tensor
    target: Tensor
    labels: Tensor | None

    @classmethod
    def of(cls, x: Tensor, y: Tensor, data: Data, substrate: Substrate, smoothing: float = 0.0) -> Samples:
        """Checked samples of `data`; `smoothing` is the share of each target that is spread evenly over the classes."""
        place, dtype = substrate.torch_device, substrate.dtype
        target = one_hot(y, data.classes, dtype) if data.labelled else y.to(dtype)
        if smoothing:
            target = torch.lerp(target, target.mean(1, keepdim=True).expand_as(target), smoothing)
        x = substrate.model.centred(x.to(place, dtype))
        return cls(x, target.to(place), y.to(place) if data.labelled else None)


def score(substrate: Substrate, samples: Samples, group: Group = ALONE) -> Score:
    """Settle all samples freely; the processes of a job take turns with the batches, and all learn the score."""
    # Summed where they are computed, and read once.
    hits, total = torch.zeros(2, dtype=torch.float64, device=samples.x.device)
    for rows in batches(len(samples.x), BATCH, place=samples.x.device)[group.rank :: group.size]:
        free = substrate.settle(samples.x[rows])
        total += substrate.model.loss.of(free.output, samples.target[rows]).sum()
        if samples.labels is not None:
            hits += correct(free, samples.labels[rows]).sum()
    count = len(samples.x)
    right, loss = group.sum(torch.stack([hits, total])).tolist()
    return Score(None if samples.labels is None else right / count, loss / count)


def correct(settled: Settled, labels: Tensor) -> Tensor:
    """Per sample, whether the largest output is the label."""
    return settled.output.argmax(1) == labels


def batches(count: int, size: int, seed: int | None = None, place: torch.device | None = None) -> Sequence[Tensor]:
    """Index tensors that cover `count` samples once, shuffled when a seed is given; the last may be smaller.

    They are drawn on the CPU, so the order is the same everywhere, and lie on `place` (None: the CPU), that of the
    samples: an index from elsewhere would be copied there at every step.
    """
    if seed is None:
        return torch.arange(count, device=place).split(size)
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed)).to(place).split(size)
