"""The contract of a pulse response, and how any number of pulses is applied one by one.

A response knows one pulse. Where it can also predict many pulses at once it says so by `many`, and says per cell
whether the prediction holds; `Cells.pulse` sends the other cells through `one_by_one`, which is exact and slow.

Not valid for: pulses that overlap in time. Up pulses come before down pulses within one call.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from mep_hw.cells.traits import Traits

Cell = Tensor | slice  # which cells: their numbers, or slice(None) for all of them
ALL = slice(None)


@dataclass
class Moments:
    """A cell's weight after many pulses as if it had no bounds: mean and variance, the lowest and highest mean on the
    way, and where the prediction holds; each (cells,)."""

    mean: Tensor
    variance: Tensor
    lowest: Tensor
    highest: Tensor
    holds: Tensor


class PulseResponse(ABC):
    """How pulses change the cells of one array. Weights are (cells,), in weight units."""

    @abstractmethod
    def one(self, weight: Tensor, up: bool, cell: Cell, generator: torch.Generator) -> Tensor:
        """The weights after one pulse on each of `cell`, before they are held within their bounds."""

    @abstractmethod
    def mean(self, weight: Tensor, up: bool, cell: Cell) -> Tensor:
        """The mean change (signed) of each of `cell` by one pulse."""

    def many(self, weight: Tensor, up: Tensor, down: Tensor) -> Moments | None:
        """All cells after `up` up pulses and then `down` down pulses (both (cells,)); None: cannot be predicted."""
        return None


class GaussianResponse(PulseResponse):
    """A response whose single pulse has a mean and a normally distributed deviation from it."""

    @abstractmethod
    def step(self, weight: Tensor, up: bool, cell: Cell) -> tuple[Tensor, Tensor]:
        """Mean (signed) and standard deviation of the change by one pulse."""

    def mean(self, weight: Tensor, up: bool, cell: Cell) -> Tensor:
        return self.step(weight, up, cell)[0]

    def one(self, weight: Tensor, up: bool, cell: Cell, generator: torch.Generator) -> Tensor:
        mean, deviation = self.step(weight, up, cell)
        return weight + mean + deviation * normal_like(weight, generator)


def one_by_one(
    response: PulseResponse,
    traits: Traits,
    weight: Tensor,
    counts: Tensor,
    up: bool,
    cell: Tensor,
    generator: torch.Generator,
) -> Tensor:
    """What the cells numbered `cell` hold after `counts` pulses of one direction, from `weight`, within their bounds.

    All three tensors are of one length; cells that have had their pulses drop out.
    """
    weight = weight.clone()
    active = counts.nonzero().flatten()
    while active.numel():
        number = cell[active]
        moved = response.one(weight[active], up, number, generator)
        weight[active] = moved.clamp(traits.low[number], traits.high[number])
        counts = counts - 1
        active = active[counts[active] > 0]
    return weight


def normal_like(value: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal numbers in the shape, format and place of `value`."""
    return torch.randn(value.shape, generator=generator, dtype=value.dtype, device=value.device)
