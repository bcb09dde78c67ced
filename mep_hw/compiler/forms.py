"""The forms that an update can take on a machine, one function each: from a total of what is wanted to a schedule.

    exact   a register write; in registers of whole steps, what is rounded off is left
    outer   outer products by coinciding pulses: in the mean, or counted evenly, which leaves what is rounded off
    row     every cell its own whole number of pulses, line by line; the rest is left, or drawn
    cell    write and verify, which tells only afterwards what is missing

Of every schedule, `intended` and `left` add up to the total.
"""

from __future__ import annotations

import torch

from mep_hw.array.layout import layout
from mep_hw.array.scale import pulse_step, scale_of, two_sided
from mep_hw.array.verify import WRITE_NOISES
from mep_hw.cards.array import ArrayOptions
from mep_hw.cards.registers import RegisterFormat
from mep_hw.cards.schema import DeviceCard
from mep_hw.cells.traits import amount, write_noise
from mep_hw.compiler.factors import LEAST, directions, factors, split
from mep_hw.compiler.lines import shorter
from mep_hw.compiler.rotate import rotated
from mep_hw.outersum import OuterSum, Update, dense
from mep_hw.schedule.ir import Cell, Registers, Row, Schedule
from mep_hw.schedule.rounding import whole
from mep_hw.schedule.trains import check_pulses, coincidences
from mep_hw.schedule.trains import outer as trains

TURNED = 64  # directions up to which better factors are looked for; beyond, that takes longer than it saves


def exact(total: Update, registers: RegisterFormat | None, generator: torch.Generator | None) -> Schedule:
    """A register write of all of it, or of the whole steps in it."""
    if registers is None:
        return Schedule((Registers(total),), total)
    random = generator if registers.rounding == "stochastic" else None
    change = dense(total)
    written = whole(change / registers.step, random) * registers.step
    return Schedule((Registers(written),), written, change - written)


def outer(
    total: Update, options: ArrayOptions, device: DeviceCard, generator: torch.Generator | None, least: float = LEAST
) -> Schedule:
    """The strong directions of it as outer products; the weak ones are left."""
    return _pulsed(total, *strong(total, options, device, least), options, device, generator)


def strong(
    total: Update, options: ArrayOptions, device: DeviceCard, least: float = LEAST
) -> tuple[OuterSum, OuterSum | None]:
    """The directions worth a cycle, in factors that take fewer slots or pulses, as the card wants, and the weak ones;
    see `mep_hw.compiler.factors`."""
    found, weak = split(directions(total), pulse_step(options, device), options.writing.rank_max, least)
    # Energy goes by slots, too: half-selected cells along lines that fire take more of it than the pulses themselves.
    goal = "pulses" if options.writing.minimise == "wear" else "slots"
    if found.rank <= TURNED:
        found = OuterSum(*rotated(found.left, found.right, goal))
    return found, weak


def local(total: Update, options: ArrayOptions, device: DeviceCard, generator: torch.Generator | None) -> Schedule:
    """The outer products of it as they are, one a cycle, and nothing is put together first."""
    return _pulsed(total, factors(total), None, options, device, generator)


def _pulsed(
    total: Update, strong: OuterSum, weak: OuterSum | None, options: ArrayOptions, device: DeviceCard,
    generator: torch.Generator | None,
) -> Schedule:  # fmt: skip
    step = pulse_step(options, device)
    if options.writing.trains == "stochastic" and generator is not None:
        return Schedule((trains(strong, step, generator),), strong, weak)
    cycle = trains(strong, step, None)
    up, down = coincidences(cycle)
    written = (up - down).to(strong.left) * step
    change = dense(total)
    return Schedule((cycle,), written.view_as(change), change - written.view_as(change))


def row(total: Update, options: ArrayOptions, device: DeviceCard, generator: torch.Generator | None) -> Schedule:
    """Whole pulses, along the lines that take fewer slots."""
    step, change = pulse_step(options, device), dense(total)
    random = generator if options.writing.rounding == "stochastic" else None
    pulses = whole(change / step, random)
    check_pulses(float(pulses.abs().max()))
    counts = pulses.flatten(1).int()
    place = layout((counts.shape[0], counts.shape[1]), options, device)
    along = shorter(counts, place, not two_sided(device))
    if random is not None:
        return Schedule((Row(counts, along),), change)
    written = pulses * step
    return Schedule((Row(counts, along),), written, change - written)


def cell(total: Update, options: ArrayOptions, device: DeviceCard | None) -> Schedule:
    """Targets; what chance leaves of them is carried."""
    writing = options.writing
    chance = 0.0
    if device is not None:
        chance = max(WRITE_NOISES * write_noise(device), amount(device.dw_min)) * scale_of(options, device)
    target = Cell(dense(total), writing.tolerance, writing.iterations)
    return Schedule((target,), total, carried=writing.tolerance + chance)
