"""Which lines row writes select one after the other: word lines or bit lines, whichever takes fewer slots."""

from __future__ import annotations

import torch
from torch import Tensor

from mep_hw.array.layout import Layout
from mep_hw.schedule.ir import Along


def shorter(pulses: Tensor, place: Layout, one_sided: bool) -> Along:
    """For pulses (out, in), above 0 up and below 0 down."""
    along: tuple[Along, Along] = ("words", "bits")
    return min(along, key=lambda lines: slots(pulses, place, lines, one_sided))


def slots(pulses: Tensor, place: Layout, along: Along, one_sided: bool) -> int:
    """Slots of the array that takes most, all up pulses of a line before its down pulses; those of a pair of one sign
    come at once, each in its own array."""
    selected, others = (pulses.T, place.words), (pulses, place.bits)
    (lines, parts), (_, across) = (selected, others) if along == "words" else (others, selected)
    up, down = (torch.stack([p.amax(1) for p in part.split(across, 1)]).clamp(min=0) for part in (lines, -lines))
    bands = torch.maximum(up, down) if one_sided else up + down
    return max(int(part.sum(1).max()) for part in bands.split(parts, 1))
