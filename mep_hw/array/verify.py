"""Write and verify: pulse, read, and pulse again what is off by more than a tolerance, word line by word line.

Steps larger than the card's mean overshoot: a cell that was passed by gets half of its share from then on. An error
within the noise of a write is drawn anew by one pulse and not worked off. All lines are computed at once, and counted
as machines execute them: a line is read, and while a cell is off pulsed and read again, before the next one's turn.

Not valid for cells that a pulse moves the other way than it should in the mean: they are pulsed until rounds are over.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mep_hw.array.drivers import Drivers
from mep_hw.array.spent import Spent
from mep_hw.cards.physics import Unknown
from mep_hw.schedule.cost import Cost
from mep_hw.schedule.pulses import directions

WRITE_NOISES = 2.0  # standard deviations of write noise that an error must exceed to be worked off


def verified(drivers: Drivers, aims: Tensor, tolerance: float, iterations: int) -> Cost:
    """Bring cells to `aims` as their device is written: exactly, by its law of programming, or else by pulses.

    Raises:
        CapabilityError: the device knows none of these.
    """
    cells = drivers.cells
    if cells.card.family == "ideal":
        cells.set(aims)
        return Cost(cycles=1)
    if not isinstance(cells.card.programming, Unknown):
        cells.program(aims, (aims - cells.read()).abs() > tolerance)
        return Cost()  # no source says how many pulses that takes
    return by_pulses(drivers, aims, tolerance, iterations).cost()


def by_pulses(drivers: Drivers, aims: Tensor, tolerance: float, iterations: int) -> Spent:
    """Bring cells to `aims` (arrays, out, in) by pulses.

    Args:
        tolerance: largest error that is left alone, in units of the cells' weight.
        iterations: most rounds of pulses and reads.
    """
    cells = drivers.cells
    step = cells.card.dw_min.value
    share, last = torch.ones_like(aims), torch.zeros_like(aims)
    active = torch.ones(len(drivers.layout.bits), aims.shape[2])  # lines that are read, (columns of the grid, in)
    done = drivers.read(active)
    for _ in range(iterations):
        error = aims - cells.read()
        wanted = error.sign()
        share = torch.where(wanted * last < 0, share / 2, share)
        last = wanted
        if step is not None:
            far = error.abs() > WRITE_NOISES * cells.write_noise
            count = (error.abs() / step * share).round().clamp(min=1)
            wanted = torch.where(far, wanted * count, wanted)
        wanted = torch.where(error.abs() > tolerance, wanted, 0.0).int()
        if not bool(wanted.any()):
            break
        spent = drivers.lines(directions(wanted))
        off = wanted.ne(0).any(0)
        active = torch.stack([part.any(0) for part in off.split(drivers.layout.bits)]).float()
        done += spent + drivers.read(active, after_pulses=True)
    return done
