"""Programming error, read noise and drift of cells, with tensors. The laws are in `mep_hw.cards.physics`.

Weights and conductances: r = (w - w_min) / (w_max - w_min) with the card's nominal bounds, G = r full_scale. The power
law with these clamps, the programming polynomial and the 1/f read noise are those of Nandakumar et al., ICECS 2019, and
Joshi et al., Nat. Commun. 11, 2473 (2020), for doped Ge2Sb2Te5 cells, in the form in which aihwkit holds them.

Not valid near no conductance, where the fits of phase-change cells have no data: r^exponent of the read noise is held
at a thousandth and above, and ln r of the drift at that of 1e-7.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mep_hw.cards.physics import LogTime, OneOverF, Polynomial, PowerLaw, Programming, ReadNoise, Retention, Saturating
from mep_hw.cells.pulses import normal_like

_LEAST_POWER = 1e-3  # of r^exponent, by which relative read noise is divided
_LEAST_SHARE = 1e-7  # of full scale: least r of which a logarithm is taken


def programming_deviation(law: Programming, share: Tensor) -> Tensor | None:
    """Standard deviation of a programmed cell, as a share of full scale, at target `share` r; None: no such law."""
    if isinstance(law, Polynomial):
        scale = law.full_scale.value
        return (law.c0.value + law.c1.value * share + law.c2.value * share**2).clamp(min=0) / scale
    return _saturating(law, share) if isinstance(law, Saturating) else None


def read_deviation(law: ReadNoise, share: Tensor, written: Tensor, age: Tensor) -> Tensor | None:
    """Standard deviation of one read, as a share of full scale; None: no such law.

    Args:
        law: of the card.
        share: r of the cells now.
        written: r when they were last written.
        age: seconds since then.
    """
    if isinstance(law, OneOverF):
        relative = (law.q.value / written.clamp(min=0).pow(law.exponent.value).clamp(min=_LEAST_POWER)).clamp(
            max=law.q_max.value
        )
        t_read = law.t_read.value
        logs = ((age + law.t0.value + t_read) / (2 * t_read)).log().clamp(min=0)
        return share.abs() * relative * logs.sqrt()
    return _saturating(law, share) if isinstance(law, Saturating) else None


def fate(law: Retention, written: Tensor, generator: torch.Generator) -> Tensor:
    """What is drawn at writing and decides how the cell drifts: nu of a power law, xi of log-time; r = `written`."""
    xi = normal_like(written, generator)
    if isinstance(law, PowerLaw):
        log = written.clamp(min=_LEAST_SHARE).log()
        mean = (law.nu_slope.value * log + law.nu_offset.value).clamp(law.nu_low.value, law.nu_high.value)
        deviation = law.spread_slope.value * log + law.spread_offset.value
        return (mean + deviation.clamp(law.spread_low.value, law.spread_high.value) * xi).abs()
    return xi


def drifted(law: PowerLaw | LogTime, share: Tensor, age: Tensor, seconds: float, fates: Tensor) -> Tensor:
    """r after another `seconds`, of cells written `age` seconds ago."""
    start = age + law.t0.value
    logs = torch.log1p(seconds / start)  # ln of the two times' ratio
    if isinstance(law, PowerLaw):
        return share * torch.exp(-fates * logs)
    return share + (law.rate.value + law.rate_spread.value * fates) * logs / law.full_scale.value


def _saturating(law: Saturating, share: Tensor) -> Tensor:
    scale = law.full_scale.value
    return law.amplitude.value / scale * -torch.expm1(-share.clamp(min=0) * scale / law.scale.value)
