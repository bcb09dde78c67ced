"""The pulses that a schedule holds: of every weight, and of every line as if one array held the coupling.

Not valid for the lines of a machine with several arrays, which fire in each of them: `Cost.line_pulses` counts those.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mep_hw.array.driven import Driven, in_outer, in_rows
from mep_hw.array.layout import Layout
from mep_hw.schedule.ir import Cell, Outer, Refresh, Registers, Row, Schedule, Transfer
from mep_hw.schedule.trains import coincidences


@dataclass(frozen=True)
class Pulses:
    """up, down: of each weight, (out, in); words (in,) and bits (out,): times that lines fire, both ways."""

    up: Tensor
    down: Tensor
    words: Tensor
    bits: Tensor


def pulses(schedule: Schedule) -> Pulses | None:
    """The sum over all cycles; None where a cycle decides while it is executed, or writes registers."""
    found: list[Driven] = []
    for cycle in schedule.cycles:
        if isinstance(cycle, Registers | Cell | Refresh | Transfer):
            return None
        if isinstance(cycle, Outer):
            place = Layout((cycle.words.shape[1],), (cycle.bits.shape[1],), pair=False)
            up, down = coincidences(cycle)
            found.append(in_outer(cycle, place, (up[None], down[None]), one_sided=False))
        elif isinstance(cycle, Row):
            place = Layout((cycle.pulses.shape[1],), (cycle.pulses.shape[0],), pair=False)
            both = cycle.pulses.clamp(min=0)[None], -cycle.pulses.clamp(max=0)[None]
            found.append(in_rows(both, place, cycle.along))
    if not found:
        return None
    up, down = (torch.stack([one.pulses[k][0].long() for one in found]).sum(0) for k in (0, 1))
    words, bits = (torch.stack([getattr(one, n).sum((0, 1, 2)) for one in found]).sum(0) for n in ("words", "bits"))
    return Pulses(up, down, words, bits)
