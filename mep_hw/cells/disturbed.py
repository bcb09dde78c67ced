"""What cells hold after pulses at half of the voltage, each of which moves them by a share of a full pulse's mean step.

The share is an assumption that a card makes (`array.writing.disturb`): how far half a voltage moves a cell is known of
no bundled device, and falls steeply with the voltage where switching does. Half-selected pulses come in both directions
mixed, hundreds of them between two full ones, so their mean is followed, without noise:

    dw/dt = up m_up(w) + down m_down(w),    t from 0 to 1

by midpoint steps of at most one full pulse each. Cells whose steps depend on the weight are so drawn towards the weight
at which their up and down steps are equal.

Not valid for: cells whose disturbance depends on the order of full and half pulses (full ones come first here), for
thresholds below which nothing moves, and for the random walk that noisy half pulses are.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mep_hw.cells.pulses import ALL, PulseResponse
from mep_hw.cells.traits import Traits


def disturbed(response: PulseResponse, traits: Traits, weight: Tensor, up: Tensor, down: Tensor) -> Tensor:
    """The weights after `up` and `down` pulses' worth of disturbance, which need not be whole; each (cells,)."""
    touched = up + down > 0
    steps = math.ceil(float((up + down).max()))
    held = weight

    def moved(at: Tensor, share: float) -> Tensor:
        change = up * response.mean(at, True, ALL) + down * response.mean(at, False, ALL)
        return (held + change * (share / steps)).clamp(traits.low, traits.high)

    for _ in range(steps):
        held = moved(moved(held, 0.5), 1.0)
    return torch.where(touched, held, weight)  # others may be beyond the bounds of pulses, and stay there
