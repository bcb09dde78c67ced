"""Pulses of weights up and down: what a cycle asks for, whatever cells and arrays it meets."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from mep_hw.schedule.ir import Outer, Row
from mep_hw.schedule.trains import coincidences


def directions(signed: Tensor) -> tuple[Tensor, Tensor]:
    """Pulses up and pulses down of signed counts, in their shape; neither is below 0."""
    return signed.clamp(min=0), -signed.clamp(max=0)


def up_and_down(cycle: Outer | Row) -> tuple[Tensor, Tensor]:
    """Pulses of each weight, (out, in) each."""
    return coincidences(cycle) if isinstance(cycle, Outer) else directions(cycle.pulses)


def per_cell(counts: Tensor) -> tuple[float, float, float]:
    """Mean, 99th percentile and largest of how often cells are pulsed; the percentile is a count of one of them."""
    found = counts.flatten().double().cpu().numpy()
    return float(found.mean()), float(np.percentile(found, 99, method="nearest")), float(found.max())
