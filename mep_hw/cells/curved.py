"""Steps that are curved in the weight, exponential, power and piecewise, with n pulses by a trapezoid.

With f(w) the mean change of one pulse and w1 = w + n f(w), the weight after n pulses is the discrete sum

    w_n = w + sum_(i<n) f(w_i)  ~  w + n (f(w) + f(w1)) / 2 - (f(w1) - f(w)) / 2

and a deviation made on the way arrives multiplied by f(w_n) / f(w_i), which for noise sigma f sums to n sigma^2 f^2 at
the last step. The formulas of the steps are in `mep_hw.cards.response`.

A piecewise step is a line between two nodes; cells that could come across a node are left to be pulsed one by one.

Not valid where a step changes by more than a fifth over the pulses of one call, or by more than a tenth over the width
of the noise: such cells are left to be pulsed one by one.
"""

from __future__ import annotations

from abc import abstractmethod
from copy import copy

import torch
from torch import Tensor

from mep_hw.cards.response import ExpStep, Piecewise, PowerStep
from mep_hw.cells.pulses import ALL, Cell, GaussianResponse, Moments
from mep_hw.cells.traits import Traits

_CURVE = 0.2
_WIDTH = 0.1
_REACH = 4.0  # standard deviations that must lie within one piece


class Curved(GaussianResponse):
    """A response of which only f(w) and the deviation of one pulse are known.

    Args:
        scale: what the family derives from the traits of each cell, (cells,).
    """

    def __init__(self, traits: Traits, scale: Tensor, sigma: float) -> None:
        self.traits, self.scale, self.sigma = traits, scale, sigma

    @abstractmethod
    def size(self, weight: Tensor, up: bool, cell: Cell) -> Tensor:
        """Mean change of one pulse, without its sign."""

    @abstractmethod
    def deviation(self, weight: Tensor, size: Tensor) -> Tensor:
        """Standard deviation of one pulse whose mean has this size."""

    def step(self, weight: Tensor, up: bool, cell: Cell) -> tuple[Tensor, Tensor]:
        size = self.size(weight, up, cell)
        return size if up else -size, self.deviation(weight, size)

    def many(self, weight: Tensor, up: Tensor, down: Tensor, cell: Cell = ALL) -> Moments:
        top, variance, smooth_up = self._advance(weight, torch.zeros_like(weight), up, True, cell)
        end, variance, smooth_down = self._advance(top, variance, down, False, cell)
        highest = top.masked_fill(~(smooth_up & smooth_down), torch.inf)
        return Moments(end, variance, torch.minimum(weight, end), highest)

    def _advance(
        self, weight: Tensor, variance: Tensor, n: Tensor, up: bool, cell: Cell
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Mean, variance and where they hold, after `n` pulses of one direction from a mean and a variance."""
        first = self.size(weight, up, cell)
        far = weight + n * (first if up else -first)
        rise = self.size(far, up, cell) - first
        total = n * first + (n - 1).clamp(min=0) * rise / 2
        share = (n - 1).clamp(min=0) / n.clamp(min=1)
        last = first + rise * share
        middle, halfway = first + rise * share / 2, weight + (far - weight) * share / 2
        usable = middle > 0
        ratio = last / middle.masked_fill(~usable, 1)
        noise = n * (self.deviation(halfway, middle) * ratio) ** 2
        carried = variance * (last / first.masked_fill(first <= 0, 1)) ** 2
        slope = rise.abs() / (far - weight).abs().clamp(min=1e-12)
        smooth = (rise.abs() <= _CURVE * first) & (slope * noise.sqrt() <= _WIDTH * first) & usable
        return weight + (total if up else -total), noise + carried, smooth | (n == 0)

    def part(self, cells: Tensor) -> Curved:
        some = copy(self)
        some.traits, some.scale = self.traits.part(cells), self.scale[cells]
        return some


class Exponential(Curved):
    """Steps s max(0, 1 - A exp(gamma z)); see `ExpStep`."""

    def __init__(self, response: ExpStep, traits: Traits, sigma: float) -> None:
        width = traits.high - traits.low
        scale = torch.where(width > 0, 2 * response.a.value / width.masked_fill(width <= 0, 1), 0)
        super().__init__(traits, scale, sigma)
        self.response = response

    def size(self, weight: Tensor, up: bool, cell: Cell) -> Tensor:
        r = self.response
        z = self.scale[cell] * weight + r.b.value
        if up:
            return self.traits.up[cell] * (1 - r.amplitude_up.value * torch.exp(r.gamma_up.value * z)).clamp(min=0)
        return self.traits.down[cell] * (1 - r.amplitude_down.value * torch.exp(-r.gamma_down.value * z)).clamp(min=0)

    def deviation(self, weight: Tensor, size: Tensor) -> Tensor:
        floor, slope = self.response.noise_floor.value, self.response.noise_slope.value
        return self.sigma * (size + floor + slope * weight.abs() if floor or slope else size)


class Power(Curved):
    """Steps s (distance to the bound / range)^gamma; see `PowerStep`."""

    def __init__(self, response: PowerStep, traits: Traits, sigma: float) -> None:
        super().__init__(traits, _range(traits), sigma)
        self.response = response

    def size(self, weight: Tensor, up: bool, cell: Cell) -> Tensor:
        room = self.traits.high[cell] - weight if up else weight - self.traits.low[cell]
        gamma = self.traits.extra["gamma_up" if up else "gamma_down"][cell]
        step = self.traits.up[cell] if up else self.traits.down[cell]
        return step * (room / self.scale[cell]).clamp(min=0) ** gamma

    def deviation(self, weight: Tensor, size: Tensor) -> Tensor:
        return self.sigma * size


class Segments(Curved):
    """Steps s n(place in the range), n linear between nodes; see `Piecewise`."""

    def __init__(self, response: Piecewise, traits: Traits, sigma: float) -> None:
        super().__init__(traits, _range(traits), sigma)
        self.nodes_up, self.nodes_down = (
            torch.tensor(nodes.values, dtype=self.scale.dtype, device=self.scale.device)
            for nodes in (response.nodes_up, response.nodes_down)
        )

    def size(self, weight: Tensor, up: bool, cell: Cell) -> Tensor:
        nodes, step = (self.nodes_up, self.traits.up) if up else (self.nodes_down, self.traits.down)
        place, piece = self._piece(weight, len(nodes), cell)
        left, right = nodes[piece], nodes[piece + 1]
        return step[cell] * (left + (right - left) * (place - piece))

    def deviation(self, weight: Tensor, size: Tensor) -> Tensor:
        return self.sigma * size

    def _advance(
        self, weight: Tensor, variance: Tensor, n: Tensor, up: bool, cell: Cell
    ) -> tuple[Tensor, Tensor, Tensor]:
        end, spread, smooth = super()._advance(weight, variance, n, up, cell)
        reach = _REACH * torch.maximum(variance, spread).sqrt()
        count = len(self.nodes_up if up else self.nodes_down)
        _, lowest = self._piece(torch.minimum(weight, end) - reach, count, cell)
        _, highest = self._piece(torch.maximum(weight, end) + reach, count, cell)
        return end, spread, smooth & (lowest == highest) | (n == 0)

    def _piece(self, weight: Tensor, nodes: int, cell: Cell) -> tuple[Tensor, Tensor]:
        """Where a weight is on the axis of node numbers, and the number of the node to the left of it."""
        place = ((weight - self.traits.low[cell]) / self.scale[cell]).clamp(0, 1) * (nodes - 1)
        return place, place.floor().long().clamp(max=nodes - 2)


def _range(traits: Traits) -> Tensor:
    """Width of each cell's range; 1 where it has none, as that divides nothing but 0."""
    width = traits.high - traits.low
    return width.masked_fill(width <= 0, 1)
