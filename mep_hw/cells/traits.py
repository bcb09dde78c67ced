"""What one cell has and its neighbour has not: step sizes and bounds, drawn once from the card's spread.

    up   = |dw_min (gain + r + min(up_down, 0))|      gain = 1 + sd xi  or  exp(sd xi)
    down = |dw_min (gain - r - max(up_down, 0))|      r = up_down spread xi
    high = |w_max (1 + sd xi)|,  low = -|w_min (1 + sd xi)|

The same gain for both directions and the opposite r: this is how the pulsed devices of IBM's aihwkit draw them (Gokmen
and Vlasov, Front. Neurosci. 10, 333, 2016, without the lognormal choice), so that their fitted presets keep their
meaning. Stuck cells have both bounds at one weight and no step.

Not valid where neighbours are alike: every cell is drawn independently. Absolute values fold the tail of a wide spread
over; above a spread of about 0.4 the mean bound is noticeably larger than the nominal one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mep_hw.cards.blocks import Quantity
from mep_hw.cards.response import LinearStep, PowerStep, Pulsed, SoftBounds
from mep_hw.cards.schema import DeviceCard

_TINY = 1e-12  # keeps a cell without room or without steps from dividing by 0


@dataclass
class Traits:
    """Per cell, each (cells,), in weight units: bounds, steps at weight 0, which cells are stuck (bool), and the
    family's own: gamma_up and gamma_down (no unit), or reference (weight)."""

    low: Tensor
    high: Tensor
    up: Tensor
    down: Tensor
    stuck: Tensor
    extra: dict[str, Tensor] = field(default_factory=dict[str, Tensor])

    def part(self, cells: Tensor) -> Traits:
        """Those of the cells with these numbers, in their order."""
        extra = {name: value[cells] for name, value in self.extra.items()}
        low, high, up, down, stuck = (v[cells] for v in (self.low, self.high, self.up, self.down, self.stuck))
        return Traits(low, high, up, down, stuck, extra)


def draw(card: DeviceCard, cells: int, generator: torch.Generator, dtype: torch.dtype) -> Traits:
    """Traits of `cells` cells of one device. A bound that the card leaves open is infinite."""

    def normal() -> Tensor:
        return torch.randn(cells, generator=generator, dtype=dtype, device=generator.device)

    one = torch.ones(cells, dtype=dtype, device=generator.device)
    low = -torch.inf * one if card.w_min.value is None else card.w_min.value * one
    high = torch.inf * one if card.w_max.value is None else card.w_max.value * one
    gain, skew = one, torch.zeros_like(one)
    if (spread := card.spread) is not None:
        if sd := amount(spread.w_max):
            high = high * (1 + sd * normal())
        if sd := amount(spread.w_min):
            low = low * (1 + sd * normal())
        if sd := amount(spread.dw_min):
            gain = torch.exp(sd * normal()) if spread.law == "lognormal" else 1 + sd * normal()
        if sd := amount(spread.up_down):
            skew = sd * normal()
    if isinstance(card.response, Pulsed):
        low, high = torch.minimum(low, high), torch.maximum(low, high)
        low, high = -low.abs(), high.abs()
    asymmetry = card.response.up_down.value if isinstance(card.response, Pulsed) else 0.0
    step = amount(card.dw_min)
    up = (step * (gain + skew + min(asymmetry, 0.0))).abs()
    down = (step * (gain - skew - max(asymmetry, 0.0))).abs()
    stuck = torch.zeros(cells, dtype=torch.bool, device=generator.device)
    if card.stuck is not None and (share := amount(card.stuck.share)):
        stuck = torch.rand(cells, generator=generator, device=generator.device) < share
        reach = torch.inf if card.stuck.reach.value is None else card.stuck.reach.value
        bottom, top = low.clamp(min=-reach), high.clamp(max=reach)
        at = bottom + (top - bottom) * torch.rand(cells, generator=generator, dtype=dtype, device=generator.device)
        low, high = torch.where(stuck, at, low), torch.where(stuck, at, high)
        up, down = up.masked_fill(stuck, 0), down.masked_fill(stuck, 0)
    return _of_family(card, Traits(low, high, up, down, stuck), normal)


def amount(quantity: Quantity) -> float:
    """The value of a spread or noise, 0 where the card says unknown: what is not known is not modelled."""
    return 0.0 if quantity.value is None else quantity.value


def write_noise(card: DeviceCard) -> float:
    """Standard deviation of what one write leaves by chance, in weight units of the cell; 0 where it is not known."""
    return 0.0 if card.noise is None else amount(card.noise.write) * amount(card.dw_min)


def stuck_noise(card: DeviceCard) -> float:
    """Root mean square of what stuck cells add to a weight, in weight units of the cell, all cells taken together."""
    if card.stuck is None or not (share := amount(card.stuck.share)):
        return 0.0
    low, high = amount(card.w_min), amount(card.w_max)
    if (reach := card.stuck.reach.value) is not None:
        low, high = max(low, -reach), min(high, reach)
    return math.sqrt(share * (low * low + low * high + high * high) / 3)


def _of_family(card: DeviceCard, traits: Traits, normal: Callable[[], Tensor]) -> Traits:
    """The traits with what the family draws beside steps and bounds."""
    response = card.response
    if isinstance(response, LinearStep):
        traits.extra["gamma_up"] = (response.gamma_up.value + response.gamma_up_spread.value * normal()).abs()
        traits.extra["gamma_down"] = (response.gamma_down.value + response.gamma_down_spread.value * normal()).abs()
    elif isinstance(response, PowerStep):
        gain = 1 + response.gamma_spread.value * normal()
        skew = response.gamma_up_down_spread.value * normal()
        asymmetry = response.gamma_up_down.value
        traits.extra["gamma_up"] = (response.gamma.value * (gain + skew + min(asymmetry, 0.0))).abs()
        traits.extra["gamma_down"] = (response.gamma.value * (gain - skew - max(asymmetry, 0.0))).abs()
    elif isinstance(response, SoftBounds):
        reference = response.reference_mean.value + response.reference_spread.value * normal()
        if response.symmetry_point_at_zero:
            # Where up (1 - w / high) = down (1 - w / low).
            falls = traits.up / traits.high.clamp(min=_TINY) - traits.down / traits.low.clamp(max=-_TINY)
            reference = reference + (traits.up - traits.down) / falls.clamp(min=_TINY)
        reference = reference.masked_fill(traits.stuck, 0)
        traits.low, traits.high = traits.low - reference, traits.high - reference
        traits.extra["reference"] = reference
    return traits
