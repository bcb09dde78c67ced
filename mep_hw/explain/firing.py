"""How often a schedule fires weights and lines, as if one array held the coupling: what people look at.

Not valid for the lines of a machine with several arrays, which fire in each of them: `Cost.line_pulses` counts those.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mep_hw.array.drivers import driven_by
from mep_hw.array.layout import Layout
from mep_hw.schedule.ir import Cell, Outer, Refresh, Registers, Row, Schedule, Transfer


@dataclass(frozen=True)
class Firing:
    """up, down: pulses of each weight, (out, in); words (in,) and bits (out,): times that lines fire, both ways."""

    up: Tensor
    down: Tensor
    words: Tensor
    bits: Tensor


def firing(schedule: Schedule) -> Firing | None:
    """The sum over all cycles; None where a cycle decides while it is executed, or writes registers."""
    if any(isinstance(cycle, Registers | Cell | Refresh | Transfer) for cycle in schedule.cycles):
        return None
    out, *rest = schedule.intended.shape
    place = Layout((torch.Size(rest).numel(),), (out,), pair=False)
    found = [driven_by(cycle, place, one_sided=False) for cycle in schedule.cycles if isinstance(cycle, Outer | Row)]
    if not found:
        return None
    up, down = (torch.stack([one.pulses[k][0].long() for one in found]).sum(0) for k in (0, 1))
    words, bits = (torch.stack([getattr(one, n).sum((0, 1, 2)) for one in found]).sum(0) for n in ("words", "bits"))
    return Firing(up, down, words, bits)
