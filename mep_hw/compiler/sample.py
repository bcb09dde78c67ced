"""What write and verify takes, from a sample: word lines of a target, written into cells drawn from the device's card.

A mean over what cells do at random. Not valid for arrays whose wires make far cells slower, and for cells that have
aged: the sample is new.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mep_hw.array.drivers import Drivers
from mep_hw.array.electrics import electrics
from mep_hw.array.layout import layout
from mep_hw.array.scale import cell_tolerance, from_cells, in_cells, reachable, two_sided
from mep_hw.array.verify import verified
from mep_hw.cards.array import ArrayOptions
from mep_hw.cards.schema import DeviceCard
from mep_hw.cells import Cells
from mep_hw.schedule.cost import Cost
from mep_hw.schedule.ir import Cell

CELLS = 4096  # about so many are drawn


@dataclass(frozen=True)
class Trial:
    """What writing a sample showed.

    cost: of all lines; wear of the most used cell of the sample.
    pulses: of each cell of the sample, (arrays, out, lines); None: nobody knows.
    square: of what a weight then misses, the mean.
    """

    cost: Cost
    pulses: Tensor | None
    square: float


def trial(cycle: Cell, options: ArrayOptions, device: DeviceCard, weights: Tensor) -> Trial:
    """Change cells that hold `weights` (out, in), as far as theirs can, by the cycle's change."""
    change = cycle.change.flatten(1)
    out, lines = change.shape
    generator = torch.Generator().manual_seed(0)  # a prediction is the same each time
    count = min(lines, max(1, CELLS // out))
    some = torch.randperm(lines, generator=generator)[:count]
    whole = layout((out, lines), options, device)
    place, known = replace(whole, words=(count,)), electrics(options, device)
    cells = Cells(device, (place.arrays, out, count), generator, weights.dtype)
    cells.set(in_cells(weights[:, some], options, device))
    drivers = Drivers(cells, place, known, not two_sided(device), options.writing.disturb)
    tolerance = cell_tolerance(cycle.tolerance, options, device)
    # Written once, so that they start with the noise of a write that was looked at.
    verified(drivers, reachable(weights[:, some], options, device), tolerance, cycle.iterations)
    before, wanted = cells.pulses.clone(), from_cells(cells.weights, options, device) + change[:, some]
    cost = verified(drivers, reachable(wanted, options, device), tolerance, cycle.iterations)
    square = float((from_cells(cells.weights, options, device) - wanted).square().mean())
    if cost.pulses is None:
        return Trial(cost, None, square)
    pulses = cells.pulses - before
    wear = None if known.endurance is None else float(pulses.max()) / known.endurance
    scaled = _scaled(cost, max(whole.words) / count, lines / count)
    return Trial(replace(scaled, wear_max=wear), pulses, square)


def _scaled(cost: Cost, longest: float, everywhere: float) -> Cost:
    """Means for all lines, from those of a sample: of the array that takes longest, and of all arrays together."""

    def times(value: float | None, factor: float) -> float | None:
        return None if value is None else value * factor

    return Cost(
        times(cost.time_s, longest), times(cost.energy_j, everywhere), times(cost.cycles, longest),
        times(cost.slots, longest), times(cost.pulses, everywhere), times(cost.line_pulses, everywhere),
        times(cost.reads, longest),
    )  # fmt: skip
