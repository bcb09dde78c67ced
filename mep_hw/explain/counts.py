"""How many pulses cells get of a schedule that is not drawn yet: means and variances, per cell and direction.

    trains, drawn      sum_k m_k,  variance sum_k m_k (1 - m_k / n_k),   m_k = |l_k r_k| / w_s = n_k p_k q_k pulses
    rounding, drawn    m,          variance f (1 - f),                   f the fraction of m
    counted            the pulses of the schedule itself, no variance

for outer products k of n_k slots, whose lines fire with p_k and q_k (`mep_hw.schedule.trains`), each of them up or down
by the sign of l_k r_k. Not valid for the rounding of a chance to 15 bits, which is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mep_hw.compiler.factors import peaks
from mep_hw.outersum import OuterSum
from mep_hw.schedule.ir import Outer, Row
from mep_hw.schedule.pulses import directions, up_and_down


@dataclass(frozen=True)
class Counts:
    """Each (2, out, in), weights moved up and down: mean pulses, their variance, the chance that there are any."""

    mean: Tensor
    variance: Tensor
    any: Tensor


def counted(cycle: Outer | Row) -> Counts:
    """Pulses as they are in the cycle."""
    mean = torch.stack(up_and_down(cycle)).double()
    return Counts(mean, torch.zeros_like(mean), (mean > 0).double())


def rounded(pulses: Tensor) -> Counts:
    """Row writes of `pulses` (out, in), signed and with fractions, that are rounded at random."""
    mean = torch.stack(directions(pulses)).double()
    fraction = mean - mean.floor()
    return Counts(mean, fraction * (1 - fraction), torch.where(mean >= 1, 1.0, fraction))


def drawn(factors: OuterSum, step: float) -> Counts:
    """Outer products of random trains, one cycle each."""
    mean, variance, idle = torch.zeros(3, 2, *factors.shape, dtype=torch.float64).unbind()
    factors = OuterSum((factors.left * factors.scale).double(), factors.right.double())
    for left, right, slots in zip(factors.left.T, factors.right.T, peaks(factors, step).ceil(), strict=True):
        signed = torch.outer(left, right) / step
        pulses = torch.stack(directions(signed))
        chance = (pulses / slots).clamp(max=1)  # rounding may have put it above
        mean += pulses
        variance += pulses * (1 - chance)
        idle += slots * torch.log1p(-chance)
    return Counts(mean, variance, -torch.expm1(idle))
