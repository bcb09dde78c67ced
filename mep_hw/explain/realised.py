"""How far the realised change is expected to be from the intended one, before a schedule is executed.

With N pulses up and M down of a weight (`mep_hw.explain.counts`), of which cells make u and d each, with variances
s_u^2 and s_d^2 from pulse to pulse, and with c for what is intended, the expected square of what a weight misses is

    (u E N + d E M - c)^2 + u^2 Var N + d^2 Var M + s_u^2 E N + s_d^2 E M + 2 s_w^2 P(N + M > 0)

The first term is what steps of another size than the card's leave (spread of cells, dependence on the weight, bounds,
stuck cells), the next two trains or rounding, then cycle noise, then write noise s_w: the old draw goes, a new one
comes. Of a pair both cells add theirs, and u and d are differences. Cells are drawn from the card, at the weights that
are held, so that the sum over cells is a mean over their spread. The error of a schedule is the root of the sum over
all weights, as a share of the Frobenius norm of the update; what the schedule leaves on purpose is not in it.

Of verified writes there is no such formula: what is off stays within the tolerance, or within chance where a step is
larger. Theirs is measured on a sample (`mep_hw.compiler.sample`).

First order: u and d are those at the weight before the update, and a chance that both N and M are above 0 counts as one
of either. Not valid for updates that move cells over much of their range, for disturbance by half-selected pulses,
voltage drop along wires, and drift.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mep_hw.array.drivers import in_arrays
from mep_hw.array.layout import layout
from mep_hw.array.scale import in_cells, two_sided, unit_of
from mep_hw.cards.array import ArrayOptions
from mep_hw.cards.schema import DeviceCard
from mep_hw.cells import Cells
from mep_hw.cells.pulses import ALL, GaussianResponse
from mep_hw.explain.counts import Counts

DRAWS = 16  # of a pulse whose variance no formula gives


def missed(counts: Counts, intended: Tensor, options: ArrayOptions, device: DeviceCard, held: Tensor) -> float:
    """Expected Frobenius norm of realised minus intended change, (out, in) both, of weights that hold `held`."""
    out, width = held.shape
    place, one_sided = layout((out, width), options, device), not two_sided(device)
    cells = Cells(device, (place.arrays, out, width), torch.Generator().manual_seed(0), torch.float64)
    cells.set(in_cells(held.double(), options, device))
    (up, up_noise), (down, down_noise) = (_steps(cells, direction) for direction in (True, False))
    ups, downs = in_arrays(place, one_sided, *counts.mean)
    low, high = cells.bounds
    moved = (cells.stored + up * ups + down * downs).clamp(low, high) - cells.stored
    noise = up_noise * ups + down_noise * downs
    if place.pair:
        gains = (up[0], -up[1]) if one_sided else (up[0] - down[1], down[0] - up[1])
        change = moved[0] - moved[1]
    else:
        gains, change = (up[0], down[0]), moved[0]
    chance = sum(gain.square() * spread for gain, spread in zip(gains, counts.variance, strict=True))
    written = torch.stack(in_arrays(place, one_sided, *counts.any)).sum(0).clamp(max=1)
    noise = noise + 2 * cells.write_noise**2 * written
    unit = unit_of(options, device)
    square = (unit * change - intended).square() + unit**2 * (chance + noise.sum(0))
    return math.sqrt(float(square.sum()))


def _steps(cells: Cells, up: bool) -> tuple[Tensor, Tensor]:
    """Mean and variance of one pulse on every cell, where it is now; a stuck cell has none."""
    response, at, free = cells.response, cells.stored.flatten(), ~cells.stuck.flatten()
    mean = response.mean(at, up, ALL)
    if isinstance(response, GaussianResponse):
        variance = response.step(at, up, ALL)[1].square()
    else:
        variance = torch.stack([response.one(at, up, ALL, cells.generator) for _ in range(DRAWS)]).var(0)
    return (mean * free).view(cells.shape), (variance * free).view(cells.shape)
