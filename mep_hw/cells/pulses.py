"""The contract of a pulse response, and how any number of pulses is applied one by one.

A response knows one pulse. Where it can also predict many pulses at once it says so by `many`, and says per cell
whether the prediction holds; where it knows how many pulses keep a cell within its bounds, by `safe`. The cells that
are left go through `one_by_one`, which is exact and slow.

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
    """A cell's weight after many pulses as if it had no bounds: mean and variance, and the lowest and highest mean on
    the way, the latter infinite where the prediction does not hold; each (cells,)."""

    mean: Tensor
    variance: Tensor
    lowest: Tensor
    highest: Tensor


class PulseResponse(ABC):
    """How pulses change the cells of one array. Weights are (cells,), in weight units."""

    @abstractmethod
    def one(self, weight: Tensor, up: bool, cell: Cell, generator: torch.Generator) -> Tensor:
        """The weights after one pulse on each of `cell`, before they are held within their bounds."""

    @abstractmethod
    def mean(self, weight: Tensor, up: bool, cell: Cell) -> Tensor:
        """The mean change (signed) of each of `cell` by one pulse."""

    def many(self, weight: Tensor, up: Tensor, down: Tensor, cell: Cell = ALL) -> Moments | None:
        """`cell` after `up` up pulses and then `down` down pulses (both (cells,)); None: cannot be predicted."""
        return None

    def safe(self, weight: Tensor, up: bool, low: Tensor, high: Tensor, reach: float) -> Tensor | None:
        """How many pulses of one direction keep each cell within `low` and `high`, so that `many` predicts them.

        Args:
            reach: standard deviations of noise to keep away from both.

        Returns:
            Whole numbers, 0 or above and possibly infinite, (cells,); None: not known.
        """
        return None

    @abstractmethod
    def part(self, cells: Tensor) -> PulseResponse:
        """The response of the cells with these numbers, in their order."""


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
    response: PulseResponse, traits: Traits, weight: Tensor, counts: Tensor, up: bool, generator: torch.Generator
) -> Tensor:
    """What all cells hold after `counts` pulses of one direction, from `weight`, within their bounds."""
    order = counts.argsort(descending=True)  # so that the cells that get another pulse are the first ones
    response, now, low, high = response.part(order), weight[order], traits.low[order], traits.high[order]
    longer = len(counts) - counts.bincount().cumsum(0)  # cells that get more than 0, 1, 2 ... pulses
    for pulsed in longer.tolist()[:-1]:
        some = slice(0, pulsed)
        now[some] = response.one(now[some], up, some, generator).clamp_(low[some], high[some])
    new = torch.empty_like(weight)
    new[order] = now
    return new


def normal_like(value: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal numbers in the shape, format and place of `value`."""
    return torch.randn(value.shape, generator=generator, dtype=value.dtype, device=value.device)
