"""Any number of pulses on many cells: at once where no bound is near, in leaps where one is.

A cell whose way, with _REACH standard deviations of noise, stays within its bounds gets the mean and the variance that
its response predicts. The others take as many pulses at a time as surely keep them within, and look again where they
are; when few pulses can be taken so, the rest is applied one by one, which is exact in law.

Cells are taken in blocks that fit the processor's cache, where temporary tensors cost little.

Not valid for: up and down pulses that alternate, as all up pulses come first.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mep_hw.cells.pulses import PulseResponse, normal_like, one_by_one
from mep_hw.cells.traits import Traits

_REACH = 4.0  # standard deviations from the bounds at which many pulses may be drawn at once
_BLOCK = 2**15
_GROUP = 64
_WORTH = 4.0  # pulses per cell that a leap must take to cost less than they would one by one


def pulsed(
    response: PulseResponse, traits: Traits, weight: Tensor, up: Tensor, down: Tensor, generator: torch.Generator
) -> Tensor:
    """What cells that hold `weight` hold after `up` up pulses and then `down` down pulses, within their bounds; all
    (cells,), counts whole numbers."""
    new = torch.empty_like(weight)
    near: list[Tensor] = []  # numbers of the cells that may meet a bound, or that the response cannot predict
    blind: list[Tensor] = []  # which of them are of the second kind
    for start in range(0, len(weight), _BLOCK):
        cell = slice(start, start + _BLOCK)
        moments = response.many(weight[cell], up[cell].to(weight), down[cell].to(weight), cell)
        if moments is None:
            new[cell] = weight[cell]
            near.append(torch.arange(start, start + len(new[cell]), device=weight.device))
            blind.append(torch.ones_like(near[-1], dtype=torch.bool))
            continue
        low, high, deviation = traits.low[cell], traits.high[cell], moments.variance.sqrt_()
        torch.addcmul(moments.mean, deviation, normal_like(deviation, generator), out=new[cell])
        new[cell].clamp_(low, high)
        room = torch.minimum(high - moments.highest, moments.lowest - low).sub_(deviation, alpha=_REACH)
        found = _without_room(room)
        near.append(found + start)
        blind.append(moments.highest[found].isinf())
    cells = torch.cat(near) if near else up[:0].long()
    if cells.numel():
        # One predicted pulse is drawn exactly, bounds or not, and stuck cells are where their bounds are.
        cells = cells[((up[cells] + down[cells] > 1) | torch.cat(blind)) & ~traits.stuck[cells]]
        now, part, own = weight[cells], response.part(cells), traits.part(cells)
        for counts, is_up in ((up, True), (down, False)):
            now = _carefully(part, own, now, counts[cells], is_up, generator)
        new[cells] = now
    return new


def _without_room(room: Tensor) -> Tensor:
    """Where `room` is 0 or below, or not a number because a prediction went beyond all bounds: few places, so only
    groups whose least entry is are looked through."""
    room.nan_to_num_(nan=-1.0)
    whole = len(room) // _GROUP * _GROUP
    groups = room[:whole].view(-1, _GROUP)
    hit = (groups.amin(1) <= 0).nonzero().flatten()
    group, place = (groups[hit] <= 0).nonzero().unbind(1)
    return torch.cat([hit[group] * _GROUP + place, (room[whole:] <= 0).nonzero().flatten() + whole])


def _carefully(
    response: PulseResponse, traits: Traits, weight: Tensor, counts: Tensor, up: bool, generator: torch.Generator
) -> Tensor:
    """What the cells hold after `counts` pulses of one direction: in leaps, and then one by one."""
    left = counts.to(weight)
    while _worth(left, left):
        safe = response.safe(weight, up, traits.low, traits.high, _REACH)
        if safe is None or not _worth(leap := safe.minimum(left), left):
            break
        none = torch.zeros_like(leap)
        moments = response.many(weight, *((leap, none) if up else (none, leap)))
        assert moments is not None  # a response that knows what is safe predicts it
        weight = normal_like(weight, generator).mul_(moments.variance.sqrt_()).add_(moments.mean)
        weight.clamp_(traits.low, traits.high)
        left -= leap
    return one_by_one(response, traits, weight, left.to(counts), up, generator)


def _worth(leap: Tensor, left: Tensor) -> bool:
    """Whether the cells that have pulses left would take enough of them in this leap."""
    return float(leap.sum()) > _WORTH * int(left.count_nonzero())
