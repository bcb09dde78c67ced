"""Which form an update takes: the one that the card's objective finds cheapest among those that can be executed.

Forms are compared by what it takes to realise the whole update. Row writes leave fractions of a pulse to later updates,
and outer products leave weak directions; a form that is cheap today because it leaves much would be paid for tomorrow.
So row writes are compared with their rests drawn at random, which costs what the rests cost in the mean.

Row writes take the fewest pulses that there are, |update|_1 / step, and the reads of verified writes come on top of the
same pulses: where rows can be written, wear chooses them, and write and verify is never cheaper.
"""

from __future__ import annotations

from typing import Literal

import torch

from mep_hw.array.electrics import electrics
from mep_hw.cards.array import ArrayOptions
from mep_hw.cards.schema import BackendCard, DeviceCard, WriteMode
from mep_hw.compiler import forms
from mep_hw.compiler.eligible import eligible
from mep_hw.compiler.predict import predict, slots
from mep_hw.errors import ScheduleError
from mep_hw.outersum import Update
from mep_hw.schedule.ir import Outer, Row, Schedule

Objective = Literal["time", "energy", "wear"]


def choose(
    total: Update, backend: BackendCard, device: DeviceCard | None, generator: torch.Generator | None
) -> Schedule:
    """The schedule in the form that the card prefers."""
    modes = eligible(backend, device)
    if modes[0] == "exact" or backend.array is None:
        return forms.exact(total, backend.registers, generator)
    if device is None:
        return forms.cell(total, backend.array, None)
    mode = preferred(total, modes, backend, device)
    return make(mode, total, backend.array, device, generator)


def preferred(total: Update, modes: tuple[WriteMode, ...], backend: BackendCard, device: DeviceCard) -> WriteMode:
    """The mode that the objective finds cheapest; without one, the first of the card.

    Raises:
        ScheduleError: the objective depends on numbers that neither card knows.
    """
    options = backend.array
    goal = None if options is None else options.writing.minimise
    if options is None or goal is None or len(modes) == 1:
        return modes[0]
    if "row" in modes:
        modes = tuple(mode for mode in modes if mode != "cell")
        if goal == "wear" or len(modes) == 1:
            return "row"
    return min(modes, key=lambda mode: price(goal, candidate(mode, total, options, device), backend, device))


def make(
    mode: WriteMode, total: Update, options: ArrayOptions, device: DeviceCard, generator: torch.Generator | None
) -> Schedule:
    """The schedule in this form."""
    if mode == "cell":
        return forms.cell(total, options, device)
    return (forms.outer if mode == "outer" else forms.row)(total, options, device, generator)


def candidate(mode: WriteMode, total: Update, options: ArrayOptions, device: DeviceCard) -> Schedule:
    """The schedule in this form with all rests drawn, by a generator of its own."""
    drawn = options.writing.model_copy(update={"rounding": "stochastic"})
    whole = options.model_copy(update={"writing": drawn})
    return make(mode, total, whole, device, torch.Generator().manual_seed(0))


def price(goal: Objective, schedule: Schedule, backend: BackendCard, device: DeviceCard) -> float:
    """Seconds, joules or pulses of a schedule.

    Raises:
        ScheduleError: it is not known.
    """
    assert backend.array is not None  # nothing is chosen elsewhere
    known = electrics(backend.array, device)
    (cycle,) = schedule.cycles
    if (
        goal == "time" and isinstance(cycle, Outer | Row) and known.slot_s is not None
    ):
        return known.slot_s * slots(cycle, backend.array, device)
    cost = predict(schedule, backend, device)
    value = {"time": cost.time_s, "energy": cost.energy_j, "wear": cost.pulses}[goal]
    if value is None:
        unknown = ", ".join(known.unknown) or "how its cells are programmed"
        raise ScheduleError(
            f"device {device.name}", "writing.minimise", goal, rule=f"is not known: {unknown}",
            fix="give array.circuit and array.assumed in the backend card, or minimise wear",
        )  # fmt: skip
    return value
