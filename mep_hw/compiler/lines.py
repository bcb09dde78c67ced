"""Which lines row writes select one after the other: word lines or bit lines, whichever takes fewer slots."""

from __future__ import annotations

import torch
from torch import Tensor

from mep_hw.array.driven import Along
from mep_hw.array.layout import Layout


def shorter(pulses: Tensor, place: Layout) -> Along:
    """For pulses (out, in), above 0 up and below 0 down."""
    along: tuple[Along, Along] = ("words", "bits")
    return min(along, key=lambda lines: slots(pulses, place, lines))


def slots(pulses: Tensor, place: Layout, along: Along) -> int:
    """Slots of the array that takes most, all up pulses of a line before its down pulses."""
    selected, others = (pulses.T, place.words), (pulses, place.bits)
    (lines, parts), (_, across) = (selected, others) if along == "words" else (others, selected)
    bands = torch.stack([part.amax(1).clamp(min=0) - part.amin(1).clamp(max=0) for part in lines.split(across, 1)])
    return max(int(part.sum(1).max()) for part in bands.split(parts, 1))
