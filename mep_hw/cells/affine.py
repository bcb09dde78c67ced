"""Steps that are linear in the weight: constant step, linear step and soft bounds, with n pulses in closed form.

One pulse changes the weight by m(w) = c - k w (c < 0 for down pulses), so that n pulses contract it geometrically:

    q = 1 - k,   E[w_n] = w + m(w) (1 - q^n) / k                                    (n m(w) where k = 0)
    constant noise of deviation s:     Var[w_n] = s^2 (1 - q^2n) / (1 - q^2)
    relative noise, s = sigma |m|:     Var[w_n] = m(w)^2 q^2n ((1 + k^2 sigma^2 / q^2)^n - 1) / k^2

The second follows from m(w_n) = m(w) prod(q - k sigma xi_i). Both are exact as long as no bound is met; the law is
normal for constant noise and close to it for relative noise while k sigma sqrt(n) is small.

Not valid where k is not small: from k = 0.5 on (ReRAM arrays whose step is half their range) cells are left to be
pulsed one by one.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from mep_hw.cards.response import ConstantStep, LinearStep, SoftBounds
from mep_hw.cards.schema import DeviceCard
from mep_hw.cells.pulses import ALL, Cell, GaussianResponse, Moments, normal_like
from mep_hw.cells.traits import Traits

_TINY = 1e-12  # stands for k = 0: every formula above has its limit there, and k^2 is still a normal float32
_LARGEST = 0.5


@dataclass
class Line:
    """One direction: change m(w) = offset - slope w with noise sqrt(constant^2 + (sigma m)^2); tensors are (cells,)."""

    offset: Tensor
    slope: Tensor
    constant: Tensor | None
    sigma: float

    def __post_init__(self) -> None:
        self.flat = not bool(self.slope.any())  # constant step: the sums of the formulas have n equal terms
        self.slope = self.slope.clamp(min=_TINY)

    @cached_property
    def log_q(self) -> Tensor:
        return torch.log1p(-self.slope.clamp(max=_LARGEST))  # beyond it the powers below are not used

    @cached_property
    def log_growth(self) -> Tensor:
        bounded = self.slope.clamp(max=_LARGEST)
        return torch.log1p((bounded * self.sigma / (1 - bounded)) ** 2)

    @cached_property
    def per_slope(self) -> Tensor:
        return 1 / self.slope

    @cached_property
    def one(self) -> Tensor:
        """Variance of one pulse at weight 0."""
        return (self.sigma * self.offset if self.constant is None else self.constant) ** 2

    @cached_property
    def final(self) -> Tensor:
        """Variance that constant noise comes to in the end, s^2 / (1 - q^2), with a minus."""
        return self.one / torch.expm1(2 * self.log_q)

    def part(self, cells: Tensor) -> Line:
        constant = None if self.constant is None else self.constant[cells]
        slope = torch.zeros_like(self.offset[cells]) if self.flat else self.slope[cells]
        return Line(self.offset[cells], slope, constant, self.sigma)

    def mean(self, weight: Tensor, cell: Cell) -> Tensor:
        return torch.addcmul(self.offset[cell], self.slope[cell], weight, value=-1)

    def advance(self, mean: Tensor, variance: Tensor | None, n: Tensor, cell: Cell) -> tuple[Tensor, Tensor]:
        """Mean and variance after `n` pulses; variance None is 0."""
        if self.flat:
            spread = n * self.one[cell]
            return torch.addcmul(mean, n, self.offset[cell]), spread if variance is None else spread.add_(variance)
        fall = (n * self.log_q[cell]).expm1_()  # q^n - 1
        m, per_slope = self.mean(mean, cell), self.per_slope[cell]
        end = torch.addcmul(mean, m * fall, per_slope, value=-1)
        if self.constant is not None:
            twice, final = (fall + 2).mul_(fall), self.final[cell]  # q^2n - 1, without a difference that cancels
            if variance is None:
                return end, twice.mul_(final)
            return end, twice.mul_(final + variance).add_(variance).clamp_(min=0)
        power = (1 + fall).square_()
        square = m.square_() if variance is None else m.square_().addcmul_(self.slope[cell].square(), variance)
        growth = (n * self.log_growth[cell]).expm1_()
        noise = square.mul_(power).mul_(growth).mul_(per_slope).mul_(per_slope)
        return end, noise if variance is None else noise.addcmul_(power, variance)


class Affine(GaussianResponse):
    """Two lines, one per direction."""

    def __init__(
        self, card: DeviceCard, response: ConstantStep | LinearStep | SoftBounds, traits: Traits, sigma: float
    ) -> None:
        zero = torch.zeros_like(traits.up)
        up, down = traits.up, traits.down
        reference = zero
        if isinstance(response, ConstantStep):
            up_slope, down_slope = zero, zero
        elif isinstance(response, LinearStep):
            assert card.w_max.value is not None and card.w_min.value is not None  # checked by the card
            # Counted from the nominal bounds: a cell with a wide range has no flatter steps for that.
            up_slope = traits.extra["gamma_up"] * up / card.w_max.value if card.w_max.value else zero
            down_slope = -traits.extra["gamma_down"] * down / card.w_min.value if card.w_min.value else zero
        else:
            reference = traits.extra["reference"]
            up_slope = _share(up, traits.high + reference)
            down_slope = _share(down, -(traits.low + reference))
        constant = not isinstance(response, ConstantStep) and response.noise == "constant"
        self.up = Line(up - up_slope * reference, up_slope, sigma * up if constant else None, sigma)
        self.down = Line(-down - down_slope * reference, down_slope, sigma * down if constant else None, sigma)
        self.smooth = (self.up.slope < _LARGEST) & (self.down.slope < _LARGEST)
        self.sure = bool(self.smooth.all())
        self.never = torch.zeros_like(up).masked_fill_(~self.smooth, torch.inf)

    def step(self, weight: Tensor, up: bool, cell: Cell) -> tuple[Tensor, Tensor]:
        line = self.up if up else self.down
        mean = line.mean(weight, cell)
        return mean, line.sigma * mean.abs() if line.constant is None else line.constant[cell]

    def one(self, weight: Tensor, up: bool, cell: Cell, generator: torch.Generator) -> Tensor:
        line, noise = self.up if up else self.down, normal_like(weight, generator)
        mean = line.offset[cell] if line.flat else line.mean(weight, cell)
        if line.constant is not None:
            return noise.mul_(line.constant[cell]).add_(mean).add_(weight)
        return noise.mul_(line.sigma).add_(1).mul_(mean).add_(weight)

    def many(self, weight: Tensor, up: Tensor, down: Tensor, cell: Cell = ALL) -> Moments:
        top, spread = self.up.advance(weight, None, up, cell)
        end, spread = self.down.advance(top, spread, down, cell)
        lowest, highest = torch.minimum(weight, end), torch.maximum(weight, top)
        return Moments(end, spread, lowest, highest if self.sure else highest.add_(self.never[cell]))

    def safe(self, weight: Tensor, up: bool, low: Tensor, high: Tensor, reach: float) -> Tensor:
        # Steps and noise never grow on the way, so n pulses come to n |m| and sqrt(n) s at most.
        above, below = (high - weight).clamp_(min=0), (weight - low).clamp_(min=0)  # `program` may exceed bounds
        ahead, behind = (above, below) if up else (below, above)
        mean, deviation = self.step(weight, up, ALL)
        noise = reach * deviation.clamp(min=_TINY)
        root = 2 * ahead / (noise + (noise**2 + 4 * mean.abs() * ahead).sqrt())  # of n |m| + noise sqrt(n) = ahead
        return torch.minimum(root, behind / noise).square_().floor_().masked_fill_(~self.smooth, 0)

    def part(self, cells: Tensor) -> Affine:
        some = copy(self)
        some.up, some.down = self.up.part(cells), self.down.part(cells)
        some.smooth, some.never = self.smooth[cells], self.never[cells]
        return some


def _share(step: Tensor, bound: Tensor) -> Tensor:
    """step / bound; 0 where the cell has no step, or no room on that side and so no bound to approach softly."""
    usable = (bound > 0) & (step > 0)
    return torch.where(usable, step / bound.masked_fill(~usable, 1), 0)
