"""Which form an update takes: the one that the card's objective finds cheapest among those that can be executed.

Forms are compared by what it takes to realise the whole update. Row writes leave fractions of a pulse to later updates,
and outer products leave weak directions; a form that is cheap today because it leaves much would be paid for tomorrow.
So row writes are compared with their rests drawn at random, which costs what the rests cost in the mean, and outer
products with all directions written. How well a form realises an update is not compared: outer products are right in
the mean, and their noise does not depend on the rank (see `explain`).

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
    """The schedule in the form that the card prefers.

    Raises:
        ScheduleError: no form can be executed, or the objective depends on numbers that neither card knows.
    """
    modes, options = eligible(backend, device), backend.array
    if modes[0] == "exact" or options is None:
        return forms.exact(total, backend.registers, generator)
    if device is None:
        return forms.cell(total, options, None)
    goal = options.writing.minimise
    if goal is not None and "row" in modes:
        modes = tuple(mode for mode in modes if mode != "cell" and (goal != "wear" or mode == "row"))
    if goal is None or len(modes) == 1:
        return make(modes[0], total, options, device, generator)
    found = {mode: make(mode, total, options, device, generator) for mode in modes}
    return found[
        min(modes, key=lambda mode: price(goal, whole(mode, found[mode], total, options, device), backend, device))
    ]


def make(
    mode: WriteMode, total: Update, options: ArrayOptions, device: DeviceCard, generator: torch.Generator | None
) -> Schedule:
    """The schedule in this form."""
    if mode == "cell":
        return forms.cell(total, options, device)
    return (forms.outer if mode == "outer" else forms.row)(total, options, device, generator)


def whole(mode: WriteMode, made: Schedule, total: Update, options: ArrayOptions, device: DeviceCard) -> Schedule:
    """The schedule of the form that leaves nothing, for comparison: `made` itself, or one with all directions of the
    update written, or the rests of its rows drawn."""
    if made.left is None:
        return made
    generator = torch.Generator().manual_seed(0)
    if mode == "outer":
        return forms.outer(total, options, device, generator, least=0.0)
    drawn = options.writing.model_copy(update={"rounding": "stochastic"})
    return forms.row(total, options.model_copy(update={"writing": drawn}), device, generator)


def price(goal: Objective, schedule: Schedule, backend: BackendCard, device: DeviceCard) -> float:
    """Seconds, joules or pulses of a schedule.

    Raises:
        ScheduleError: it is not known.
    """
    assert backend.array is not None  # nothing is chosen elsewhere
    known = electrics(backend.array, device)
    (cycle,) = schedule.cycles
    if goal == "time" and isinstance(cycle, Outer | Row) and known.slot_s is not None:
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
