"""Converters: levels and linearity against a search over midpoints, code statistics, mismatch, phases."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from mep_hw.array.converters import FREE, NEGATIVE, POSITIVE, Adc, Dac, Quantiser
from mep_hw.cards.array import Converter, PhaseMismatch

F64 = torch.float64


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def adc(lines: int = 1, mismatch: PhaseMismatch | None = None, **options: object) -> Adc:
    return Adc(Converter.model_validate(options), mismatch or PhaseMismatch(), lines, generator(), F64)


def quantised(value: Tensor, **options: object) -> Tensor:
    return Quantiser(Converter.model_validate(options)).apply_(value.clone(), generator(5))


@pytest.mark.parametrize("bits", [2, 3, 7, 9, 16])
@pytest.mark.parametrize("signed", [True, False])
def test_each_value_goes_to_the_nearest_of_evenly_spaced_levels(bits: int, signed: bool) -> None:
    limit = 1.7
    levels = np.linspace(-limit, limit, 2**bits - 1) if signed else np.linspace(0, limit, 2**bits)
    ramp = torch.linspace(-2.5, 2.5, 40_001, dtype=F64)
    found = quantised(ramp, bits=bits, range=limit, signed=signed)
    nearest = levels[np.digitize(ramp.numpy(), (levels[1:] + levels[:-1]) / 2)]
    step = levels[1] - levels[0]
    away = np.abs(np.abs((ramp.numpy() - levels[0]) / step % 1) - 0.5) > 1e-9  # halfway, either neighbour is right
    assert np.abs(found.numpy() - nearest)[away].max() < 1e-12
    inside = (ramp >= levels[0]) & (ramp <= limit)
    assert float((found - ramp)[inside].abs().max()) <= step / 2 * (1 + 1e-9)  # integral non-linearity: none
    assert bool((found.diff() >= -1e-12).all())
    assert float(quantised(torch.zeros(1, dtype=F64), bits=bits, range=limit, signed=signed)) == 0.0


def test_without_bits_only_saturation_is_left() -> None:
    value = torch.tensor([-3.0, -0.123456789, 0.5, 9.0], dtype=F64)
    assert torch.equal(quantised(value), value)
    assert torch.equal(quantised(value, range=1.0), value.clamp(-1, 1))
    assert torch.equal(quantised(value, range=1.0, signed=False), value.clamp(0, 1))


def test_codes_of_a_uniform_input_are_equally_likely() -> None:
    # Chi-square over the inner codes of 5 bits, and over two half codes at the ends.
    value = 2 * torch.rand(1, 200_000, generator=generator(2), dtype=F64) - 1
    codes = (quantised(value, bits=5, range=1.0) * 15).round().int() + 15
    counts = np.bincount(codes.flatten().numpy(), minlength=31)
    share = np.full(31, 1 / 30)
    share[[0, -1]] /= 2
    assert stats.chisquare(counts, share * counts.sum()).pvalue > 1e-3


def test_codes_at_idle_follow_the_noise() -> None:
    # No signal: P(code k) = Phi((k + 1/2) step / sd) - Phi((k - 1/2) step / sd).
    step, sd, own, reads = 1.0 / 255, 0.006, 0.002, 200_000
    converter = adc(bits=9, range=1.0, noise_sd=own)
    read = converter.convert_(torch.zeros(reads, 1, dtype=F64), sd**2, FREE, generator(3))
    codes = (read / step).round().int().flatten().numpy()
    total = math.hypot(sd, own)
    edges = (np.arange(-6, 6) + 0.5) * step
    inner = np.diff(stats.norm.cdf(edges, scale=total))
    ends = stats.norm.sf(edges[-1], scale=total)
    counts = np.bincount(np.clip(codes, -6, 6) + 6, minlength=13)
    assert stats.chisquare(counts, np.concatenate([[ends], inner, [ends]]) * reads).pvalue > 1e-3


def test_stochastic_rounding_is_right_on_average() -> None:
    share = 0.3
    found = quantised(torch.full((100_000,), share, dtype=F64), bits=2, range=1.0, rounding="stochastic")
    assert set(found.tolist()) == {0.0, 1.0}
    assert float(found.mean()) == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 100_000))


@pytest.mark.parametrize("zero", [0.3, 1.0, -1.0])
def test_a_zero_that_all_lines_share_is_added_on_both_sides(zero: float) -> None:
    value = torch.linspace(-1, 1, 6, dtype=F64)[:, None]
    dac = Dac(Converter(offset=zero), 1, generator(), F64)
    assert torch.equal(dac.convert(value, generator()), value + zero)
    assert torch.equal(adc(offset=zero).convert_(value.clone(), 0.0, FREE, generator()), value + zero)


def test_mismatch_is_drawn_once_per_line() -> None:
    lines = 5000
    converter = adc(lines, gain_sd=0.02, offset_sd=0.5, offset=0.25)
    assert converter.gain is not None and converter.zero is not None
    assert stats.kstest(converter.gain[FREE].numpy(), "norm", args=(1, 0.02)).pvalue > 1e-3
    assert stats.kstest(converter.zero[FREE].numpy(), "norm", args=(0.25, 0.5)).pvalue > 1e-3
    value = torch.rand(3, lines, dtype=F64, generator=generator(4))
    reads = [converter.convert_(value.clone(), 0.0, FREE, generator()) for _ in range(2)]
    assert torch.equal(reads[0], reads[1])
    assert torch.allclose(reads[0], converter.gain[FREE] * (value + converter.zero[FREE]), rtol=1e-12)
    assert torch.equal(adc(4, offset=0.25).convert_(torch.zeros(2, 4, dtype=F64), 0.0, FREE, generator()),
                       torch.full((2, 4), 0.25, dtype=F64))  # fmt: skip


def test_an_analog_converter_quantises_before_its_mismatch() -> None:
    options = Converter(bits=3, range=1.0, gain_sd=0.1, offset_sd=0.1)
    dac = Dac(options, 6, generator(), F64)
    states = torch.rand(20, 6, dtype=F64, generator=generator(1)) * 2 - 1
    before = states.clone()
    driven = dac.convert(states, generator())
    assert torch.equal(states, before)
    assert dac.gain is not None and dac.zero is not None
    levels = (driven - dac.zero) / dac.gain * 3
    assert torch.allclose(levels, levels.round(), atol=1e-12) and len(levels.round().unique()) == 7
    noisy = Dac(Converter(noise_sd=0.3), 1, generator(), F64).convert(torch.zeros(20_000, 1, dtype=F64), generator())
    assert stats.kstest(noisy.flatten().numpy(), "norm", args=(0, 0.3)).pvalue > 1e-3


def test_nudged_phases_have_a_gain_and_zero_of_their_own() -> None:
    lines = 4000
    converter = adc(lines, PhaseMismatch(gain_sd=0.03, offset_sd=0.2), gain_sd=0.01)
    plain = adc(lines, gain_sd=0.01)
    assert converter.gain is not None and converter.zero is not None and plain.gain is not None
    assert torch.equal(converter.gain[FREE], plain.gain[FREE]) and float(converter.zero[FREE].abs().max()) == 0
    for sign in (POSITIVE, NEGATIVE):
        assert stats.kstest((converter.gain[sign] - converter.gain[FREE]).numpy(), "norm", args=(0, 0.03)).pvalue > 1e-3
        assert stats.kstest(converter.zero[sign].numpy(), "norm", args=(0, 0.2)).pvalue > 1e-3
    assert abs(float(torch.corrcoef(converter.zero[1:])[0, 1])) < 0.06
    phases = torch.tensor([POSITIVE, NEGATIVE, FREE])
    value = torch.ones(3, lines, dtype=F64)
    mixed = converter.convert_(value.clone(), 0.0, phases, generator())
    for row, phase in enumerate(phases.tolist()):
        assert torch.equal(mixed[row], converter.convert_(value[row : row + 1].clone(), 0.0, phase, generator())[0])
    assert torch.equal(plain.gain[POSITIVE], plain.gain[FREE])
