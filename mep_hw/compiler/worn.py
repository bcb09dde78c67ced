"""How many pulses each cell gets of a schedule, as far as that is known before it is executed."""

from __future__ import annotations

import torch
from torch import Tensor

from mep_hw.array.drivers import driven_by
from mep_hw.array.layout import layout
from mep_hw.array.scale import two_sided
from mep_hw.cards.schema import BackendCard, DeviceCard
from mep_hw.compiler.sample import trial
from mep_hw.schedule.ir import Cell, Outer, Refresh, Registers, Row, Schedule, Transfer


def pulses_per_cell(schedule: Schedule, backend: BackendCard, device: DeviceCard | None, held: Tensor) -> Tensor | None:
    """Pulses in both directions, (arrays, out, in); of verified writes those of a sample, (arrays, out, lines).

    None where there are no cells, or nobody knows: laws of programming, refreshed pairs, transfers, several verified
    writes or slices.

    Args:
        held: weights (out, in) before.
    """
    writes = [
        cycle for cycle in schedule.cycles if isinstance(cycle, Registers | Outer | Row | Cell | Refresh | Transfer)
    ]
    if backend.array is None or device is None or backend.array.slices > 1:
        return None
    if len(writes) == 1 and isinstance(writes[0], Cell):
        return trial(writes[0], backend.array, device, held).pulses
    place = layout((held.shape[0], held.shape[1]), backend.array, device)
    total = torch.zeros(place.arrays, *held.shape, dtype=torch.int64)
    for cycle in writes:
        if not isinstance(cycle, Outer | Row):
            return None
        up, down = driven_by(cycle, place, not two_sided(device)).pulses
        total += up + down
    return total
