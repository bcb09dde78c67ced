"""What write and verify takes, from a sample: word lines of a target, written into cells drawn from the device's card.

A mean over what cells do at random. Not valid for arrays whose wires make far cells slower, and for cells that have
aged: the sample is new.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mep_hw.array.drivers import Drivers
from mep_hw.array.electrics import electrics
from mep_hw.array.layout import layout
from mep_hw.array.mapping import cell_tolerance, from_cells, in_cells, reachable, two_sided
from mep_hw.array.verify import by_pulses
from mep_hw.cards.array import ArrayOptions
from mep_hw.cards.physics import Unknown
from mep_hw.cards.schema import DeviceCard
from mep_hw.cells import Cells
from mep_hw.schedule.cost import Cost
from mep_hw.schedule.ir import Cell

CELLS = 4096  # about so many are drawn


def verified(cycle: Cell, options: ArrayOptions, device: DeviceCard, weights: Tensor) -> Cost:
    """Mean cost of writing `weights` + the cycle's change (out, in) into cells that hold `weights`."""
    if device.family == "ideal":
        return Cost(cycles=1)
    if not isinstance(device.programming, Unknown):
        return Cost()  # no source says how many pulses a law of programming stands for
    change = cycle.change.flatten(1)
    out, lines = change.shape
    generator = torch.Generator().manual_seed(0)  # a prediction is the same each time
    count = min(lines, max(1, CELLS // out))
    some = torch.randperm(lines, generator=generator)[:count]
    whole = layout((out, lines), options, device)
    place = replace(whole, words=(count,))
    cells = Cells(device, (place.arrays, out, count), generator, weights.dtype)
    cells.set(in_cells(weights[:, some], options, device))
    drivers = Drivers(cells, place, electrics(options, device), not two_sided(device), options.writing.disturb)
    tolerance = cell_tolerance(cycle.tolerance, options, device)
    # Written once, so that they start with the noise of a write that was looked at.
    by_pulses(drivers, reachable(weights[:, some], options, device), tolerance, cycle.iterations)
    start = from_cells(cells.weights, options, device)
    aims = reachable(start + change[:, some], options, device)
    cost = by_pulses(drivers, aims, tolerance, cycle.iterations).cost()
    return _scaled(cost, max(whole.words) / count, lines / count)


def _scaled(cost: Cost, longest: float, everywhere: float) -> Cost:
    """Means for all lines, from those of a sample: of the array that takes longest, and of all arrays together."""

    def times(value: float | None, factor: float) -> float | None:
        return None if value is None else value * factor

    return Cost(
        times(cost.time_s, longest), times(cost.energy_j, everywhere), times(cost.cycles, longest),
        times(cost.slots, longest), times(cost.pulses, everywhere), times(cost.line_pulses, everywhere),
        times(cost.reads, longest),
    )  # fmt: skip
