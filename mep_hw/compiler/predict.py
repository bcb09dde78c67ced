"""What a schedule will cost, before it is executed.

Lines are driven as the schedule says, so cycles, slots, line pulses and the pulses of cells are what they will be.
Energy is that of cells which hold `held` exactly. How often verified cells are pulsed and read is a matter of chance:
cells of the device are drawn, and word lines of the schedule written into them; such figures are means, told apart by
being floats.
"""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from operator import add

import torch
from torch import Tensor

from mep_hw.array.drivers import driven_by, outer_slots, spent_by
from mep_hw.array.electrics import Electrics, electrics
from mep_hw.array.layout import Layout, layout
from mep_hw.array.scale import in_cells, two_sided
from mep_hw.array.spent import of_read
from mep_hw.cards.array import ArrayOptions
from mep_hw.cards.schema import BackendCard, DeviceCard
from mep_hw.cards.transfer import TransferOptions
from mep_hw.compiler import lines
from mep_hw.compiler.sample import trial
from mep_hw.schedule.cost import Cost
from mep_hw.schedule.ir import Cell, Hold, Outer, Read, Refresh, Registers, Row, Schedule, Transfer


def predict(schedule: Schedule, backend: BackendCard, device: DeviceCard | None, held: Tensor | None = None) -> Cost:
    """The sum over all cycles; None where a figure is not known.

    Args:
        held: weights of the model (out, in) before the schedule; None: all 0.
    """
    if not schedule.cycles:
        return Cost.none()
    digital = [_of_host(cycle) for cycle in schedule.cycles if isinstance(cycle, Registers | Hold)]
    analog = [cycle for cycle in schedule.cycles if not isinstance(cycle, Registers | Hold)]
    if analog and (backend.array is None or device is None):
        return Cost()
    if not analog or backend.array is None or device is None:
        return reduce(add, digital)
    out, *rest = schedule.intended.shape
    weights = torch.zeros(out, torch.Size(rest).numel()) if held is None else held.flatten(1)
    return reduce(add, [*digital, *(_of_array(cycle, backend.array, device, weights) for cycle in analog)])


def _of_host(cycle: Registers | Hold) -> Cost:
    if isinstance(cycle, Hold):
        return replace(Cost.none(), time_s=cycle.seconds)
    return Cost(cycles=1, slots=0, pulses=0, line_pulses=0, reads=0)  # no card describes its host


def _of_array(
    cycle: Outer | Row | Cell | Read | Refresh | Transfer, options: ArrayOptions, device: DeviceCard, weights: Tensor
) -> Cost:
    """Of one cycle on weights (out, in)."""
    shape = weights.shape[0], weights.shape[1]
    place, known = layout(shape, options, device), electrics(options, device)
    if isinstance(cycle, Outer | Row):
        cost = _pulsed(cycle, place, known, device, in_cells(weights, options, device))
        return cost if options.transfer is None else _into_fast(cost, options.transfer)
    if isinstance(cycle, Read):
        return replace(of_read(cycle, place, known, in_cells(weights, options, device)).cost(), wear_max=0.0)
    if isinstance(cycle, Cell):
        if options.slices > 1:
            return Cost()  # each slice is written with what the ones before it have missed
        return trial(cycle, options, device, weights).cost
    if isinstance(cycle, Transfer) and options.transfer is not None:  # all else depends on what the fast array holds
        return Cost(reads=min(cycle.lines, shape[1]) * options.transfer.reads)
    return Cost()  # what pairs need to be written anew depends on how far pulses have filled them


def slots(cycle: Outer | Row, options: ArrayOptions, device: DeviceCard) -> int:
    """Slots of the array that takes most, without the rest of the cost."""
    if isinstance(cycle, Outer):
        return outer_slots(cycle, not two_sided(device))
    place = layout((cycle.pulses.shape[0], cycle.pulses.shape[1]), options, device)
    return lines.slots(cycle.pulses, place, cycle.along, not two_sided(device))


def _into_fast(cost: Cost, transfer: TransferOptions) -> Cost:
    """Of pulses into a fast array, whose weights nobody knows; nor, with choppers, the signs of its lines."""
    if transfer.chop == 0:
        return replace(cost, energy_j=None)
    return replace(cost, time_s=None, energy_j=None, slots=None, line_pulses=None)


def _pulsed(cycle: Outer | Row, place: Layout, known: Electrics, device: DeviceCard, cells: Tensor) -> Cost:
    one_sided = not two_sided(device)
    driven = driven_by(cycle, place, one_sided)
    spent = spent_by(cycle, driven, one_sided, known, cells)
    most = int((driven.pulses[0] + driven.pulses[1]).max())
    return replace(spent.cost(), wear_max=None if known.endurance is None else most / known.endurance)
