"""Converters at the lines of an array: quantisation, saturation, mismatch between lines, noise.

    DAC:  gain * q(x) + zero + noise           ADC:  q(gain * (x + zero + noise))

q rounds to levels k * step and saturates. Signed converters have 2^bits - 1 levels from -range to range, so that zero
is one of them and both signs are alike; unsigned ones have 2^bits levels from 0 to range. Gains (around 1) and zeros
are drawn once per line; noise anew with every conversion. A nudged read may have a gain and zero of its own: row FREE,
POSITIVE or NEGATIVE of the tables, by the sign of the nudge.

Static transfer only: no settling time, no jitter, no missing codes, and mismatch is linear.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mep_hw.cards.array import Converter, PhaseMismatch

FREE, POSITIVE, NEGATIVE = 0, 1, 2
Phase = int | Tensor  # one of the above for the whole batch, or (batch,) whole numbers


class Quantiser:
    """q: rounding to levels and saturation, as described by `options`."""

    def __init__(self, options: Converter) -> None:
        self.high = options.range
        self.low = None if options.range is None else (-options.range if options.signed else 0.0)
        self.stochastic = options.rounding == "stochastic"
        self.step: float | None = None
        if options.bits is not None and options.range is not None:
            self.top = 2 ** (options.bits - 1) - 1 if options.signed else 2**options.bits - 1
            self.step = options.range / self.top
            self.bottom = -self.top if options.signed else 0

    def apply_(self, value: Tensor, generator: torch.Generator) -> Tensor:
        """Round and saturate `value` in place."""
        if self.step is None:
            return value if self.high is None else value.clamp_(self.low, self.high)
        value.mul_(1 / self.step)
        if self.stochastic:
            value.add_(torch.rand(value.shape, generator=generator, dtype=value.dtype, device=value.device)).floor_()
        else:
            value.round_()
        return value.clamp_(self.bottom, self.top).mul_(self.step)


class Dac:
    """Converters of `lines` driven lines; their mismatch is drawn from `generator` here."""

    def __init__(self, options: Converter, lines: int, generator: torch.Generator, dtype: torch.dtype) -> None:
        self.quantiser, self.noise_sd = Quantiser(options), options.noise_sd
        self.gain = _spread(1.0, 1.0, options.gain_sd, (lines,), generator, dtype)
        self.zero = _spread(options.offset, 0.0, options.offset_sd, (lines,), generator, dtype)

    def convert(self, value: Tensor, generator: torch.Generator) -> Tensor:
        """What states (batch, lines) become on the lines, as a new tensor."""
        driven = self.quantiser.apply_(value.clone(), generator)
        if self.gain is not None:
            driven.mul_(self.gain)
        if self.zero is not None:
            driven.add_(self.zero)
        return add_noise_(driven, self.noise_sd**2, generator)


class Adc:
    """Converters of `lines` sensed lines; their mismatch, in every phase, is drawn from `generator` here."""

    def __init__(
        self, options: Converter, mismatch: PhaseMismatch, lines: int, generator: torch.Generator, dtype: torch.dtype
    ) -> None:
        self.quantiser, self.noise_variance = Quantiser(options), options.noise_sd**2
        gain = _spread(1.0, 1.0, options.gain_sd, (lines,), generator, dtype)
        zero = _spread(options.offset, 0.0, options.offset_sd, (lines,), generator, dtype)
        self.gain = _in_phases(gain, 1.0, mismatch.gain_sd, lines, generator, dtype)
        self.zero = _in_phases(zero, 0.0, mismatch.offset_sd, lines, generator, dtype)

    def convert_(self, value: Tensor, variance: Tensor | float, phase: Phase, generator: torch.Generator) -> Tensor:
        """Digital numbers from line signals (batch, lines), in place.

        Args:
            variance: of Gaussian noise that comes with the signal, broadcast to its shape; it shares the one draw
                with the converter's own.
            phase: FREE, POSITIVE or NEGATIVE; a tensor (batch,) where samples differ.
        """
        add_noise_(value, variance + self.noise_variance, generator)
        if self.zero is not None:
            value.add_(self.zero[phase])
        if self.gain is not None:
            value.mul_(self.gain[phase])
        return self.quantiser.apply_(value, generator)


def add_noise_(value: Tensor, variance: Tensor | float, generator: torch.Generator) -> Tensor:
    """Add one independent normal number of the given variance to each entry, in place."""
    if isinstance(variance, Tensor):
        return value.addcmul_(torch.empty_like(value).normal_(generator=generator), variance.sqrt())
    if variance == 0:
        return value
    return value.add_(torch.empty_like(value).normal_(generator=generator), alpha=variance**0.5)


def _spread(
    mean: float, neutral: float, sd: float, shape: tuple[int, ...], generator: torch.Generator, dtype: torch.dtype
) -> Tensor | None:
    """Normal numbers; None where all would be the `neutral` element and no operation is needed."""
    if sd == 0:
        return None if mean == neutral else torch.full(shape, mean, dtype=dtype, device=generator.device)
    return mean + sd * torch.randn(shape, generator=generator, dtype=dtype, device=generator.device)


def _in_phases(
    free: Tensor | None, neutral: float, sd: float, lines: int, generator: torch.Generator, dtype: torch.dtype
) -> Tensor | None:
    """Table (3, lines): the free phase's numbers, and those of nudged phases that differ from them at random."""
    if sd == 0:
        return None if free is None else free.expand(3, lines)
    base = torch.full((lines,), neutral, dtype=dtype, device=generator.device) if free is None else free
    change = sd * torch.randn((2, lines), generator=generator, dtype=dtype, device=generator.device)
    return torch.cat([base[None], base + change])
