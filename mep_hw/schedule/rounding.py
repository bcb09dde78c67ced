"""Numbers of pulses are whole: to the nearest, or up or down by chance, which is right in the mean."""

from __future__ import annotations

import torch
from torch import Tensor


def whole(counts: Tensor, generator: torch.Generator | None) -> Tensor:
    """Whole numbers next to `counts`; with a generator up or down, with the probability that keeps the mean."""
    if generator is None:
        return counts.round()
    draw = torch.rand(counts.shape, generator=generator, dtype=counts.dtype, device=counts.device)
    return (counts + draw).floor()
