"""What a schedule will cost, before it is executed.

Lines are driven as the schedule says, so cycles, slots, line pulses and the pulses of cells are what they will be.
Energy is that of cells which hold `held` exactly. How often verified cells are pulsed and read is a matter of chance:
cells of the device are drawn, and word lines of the schedule written into them; such figures are means, told apart by
being floats.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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

REGISTER_WRITE = Cost(cycles=1, slots=0, pulses=0, line_pulses=0, reads=0)  # no card describes its host


@dataclass(frozen=True)
class Expected:
    """What executing a schedule will show, as far as that is known before.

    cost: None where a figure is not known.
    pulses: in both directions of each cell, (arrays, out, in); of a verified write those of a sample, (arrays, out,
        lines); None: there are no cells, or nobody knows, as of laws of programming, refreshed pairs and transfers.
    missed: of a verified write, the mean square of what weights then miss; None of all else.
    """

    cost: Cost
    pulses: Tensor | None = None
    missed: float | None = None


def predict(schedule: Schedule, backend: BackendCard, device: DeviceCard | None, held: Tensor | None = None) -> Cost:
    """The sum over all cycles; None where a figure is not known.

    Args:
        held: weights of the model (out, in) before the schedule; None: all 0.
    """
    return expected(schedule, backend, device, held).cost


def expected(
    schedule: Schedule, backend: BackendCard, device: DeviceCard | None, held: Tensor | None = None
) -> Expected:
    """The same, and what cells get of it."""
    if not schedule.cycles:
        return Expected(Cost.none())
    digital = [_of_host(cycle) for cycle in schedule.cycles if isinstance(cycle, Registers | Hold)]
    analog = [cycle for cycle in schedule.cycles if not isinstance(cycle, Registers | Hold)]
    if analog and (backend.array is None or device is None):
        return Expected(Cost())
    if not analog or backend.array is None or device is None:
        return Expected(reduce(add, digital))
    out, *rest = schedule.intended.shape
    weights = torch.zeros(out, torch.Size(rest).numel()) if held is None else held.flatten(1)
    found = [_of_array(cycle, backend.array, device, weights) for cycle in analog]
    cost = reduce(add, [*digital, *(one.cost for one in found)])
    pulsing = [one for one, cycle in zip(found, analog, strict=True) if not isinstance(cycle, Read)]
    if len(pulsing) == 1 and not digital:
        return replace(pulsing[0], cost=cost)
    counts = [one.pulses for one in pulsing if one.missed is None and one.pulses is not None]
    whole = bool(counts) and len(counts) == len(pulsing)
    return Expected(cost, torch.stack(counts).sum(0) if whole else None)


def _of_host(cycle: Registers | Hold) -> Cost:
    if isinstance(cycle, Hold):
        return replace(Cost.none(), time_s=cycle.seconds)
    return REGISTER_WRITE


def _of_array(
    cycle: Outer | Row | Cell | Read | Refresh | Transfer, options: ArrayOptions, device: DeviceCard, weights: Tensor
) -> Expected:
    """Of one cycle on weights (out, in)."""
    shape = weights.shape[0], weights.shape[1]
    place, known = layout(shape, options, device), electrics(options, device)
    match cycle:
        case Outer() | Row():
            found = _pulsed(cycle, place, known, device, in_cells(weights, options, device))
            return found if options.transfer is None else _into_fast(found, options.transfer)
        case Read():
            spent = of_read(cycle, place, known, in_cells(weights, options, device))
            return Expected(replace(spent.cost(), wear_max=0.0))
        case Cell():
            if options.slices > 1:
                return Expected(Cost())  # each slice is written with what the ones before it have missed
            sample = trial(cycle, options, device, weights)
            return Expected(sample.cost, sample.pulses, sample.square)
        case Transfer(lines):  # all but reads depends on what the fast array holds
            fast = options.transfer
            return Expected(Cost() if fast is None else Cost(reads=min(lines, shape[1]) * fast.reads))
        case Refresh():
            return Expected(Cost())  # depends on how far pulses have filled the pairs


def slots(cycle: Outer | Row, options: ArrayOptions, device: DeviceCard) -> int:
    """Slots of the array that takes most, without the rest of the cost."""
    if isinstance(cycle, Outer):
        return outer_slots(cycle, not two_sided(device))
    place = layout((cycle.pulses.shape[0], cycle.pulses.shape[1]), options, device)
    return lines.slots(cycle.pulses, place, cycle.along, not two_sided(device))


def _into_fast(found: Expected, transfer: TransferOptions) -> Expected:
    """Of pulses into a fast array, whose weights nobody knows; nor, with choppers, the signs of its lines."""
    cost = replace(found.cost, energy_j=None)
    if transfer.chop:
        cost = replace(cost, time_s=None, slots=None, line_pulses=None)
    return replace(found, cost=cost)


def _pulsed(cycle: Outer | Row, place: Layout, known: Electrics, device: DeviceCard, cells: Tensor) -> Expected:
    one_sided = not two_sided(device)
    driven = driven_by(cycle, place, one_sided)
    pulses = driven.pulses[0] + driven.pulses[1]
    wear = None if known.endurance is None else int(pulses.max()) / known.endurance
    return Expected(replace(spent_by(cycle, driven, one_sided, known, cells).cost(), wear_max=wear), pulses)
