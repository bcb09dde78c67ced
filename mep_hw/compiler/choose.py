"""Which form an update takes: the one that the card's objective finds cheapest among those that can be executed.

Forms are compared by what it takes to realise the whole update. Row writes leave fractions of a pulse to later updates,
and outer products leave weak directions; a form that is cheap today because it leaves much would be paid for tomorrow.
So row writes are compared with their rests drawn at random, which costs what the rests cost in the mean.

Row writes take the fewest pulses that there are, |update|_1 / step, and the reads of verified writes come on top of the
same pulses: where rows can be written, wear chooses them, and write and verify is never cheaper.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mep_hw.array.electrics import electrics
from mep_hw.cards.array import ArrayOptions
from mep_hw.cards.schema import BackendCard, DeviceCard, WriteMode
from mep_hw.compiler import forms
from mep_hw.compiler.eligible import eligible
from mep_hw.compiler.predict import predict
from mep_hw.errors import ScheduleError
from mep_hw.outersum import Update
from mep_hw.schedule.cost import Cost
from mep_hw.schedule.ir import Schedule

Objective = Literal["time", "energy", "wear"]


@dataclass(frozen=True)
class Candidate:
    """A form, its schedule for the whole update, and the predicted cost."""

    form: WriteMode
    schedule: Schedule
    cost: Cost


def choose(
    total: Update, backend: BackendCard, device: DeviceCard | None, generator: torch.Generator | None
) -> Schedule:
    """The schedule in the form that the card prefers."""
    mode = next(ranked(total, backend, device))
    if mode == "exact" or backend.array is None:
        return forms.exact(total, backend.registers, generator)
    if device is None:
        return forms.cell(total, backend.array, None)
    return make(mode, total, backend.array, device, generator)


def ranked(total: Update, backend: BackendCard, device: DeviceCard | None) -> Iterator[WriteMode]:
    """The modes that can be executed, the preferred one first."""
    modes, options = eligible(backend, device), backend.array
    if options is None or device is None or modes[0] == "exact":
        return iter(modes[:1])
    return in_order(modes, options, device, lambda mode: candidate(mode, total, backend, options, device))


def in_order(
    modes: tuple[WriteMode, ...], options: ArrayOptions, device: DeviceCard, find: Callable[[WriteMode], Candidate]
) -> Iterator[WriteMode]:
    """The modes as `preferred` takes them, each as if those before it were not there."""
    while modes:
        first = preferred(modes, options, device, find)
        yield first
        modes = tuple(mode for mode in modes if mode != first)


def preferred(
    modes: tuple[WriteMode, ...], options: ArrayOptions, device: DeviceCard, find: Callable[[WriteMode], Candidate]
) -> WriteMode:
    """The mode that the objective finds cheapest; without one, the first of the card.

    Args:
        find: gives the candidate of a mode; not called where there is nothing to compare.

    Raises:
        ScheduleError: the objective depends on numbers that neither card knows.
    """
    goal = options.writing.minimise
    if goal is None or len(modes) == 1:
        return modes[0]
    modes = comparable(modes)
    if "row" in modes and (goal == "wear" or len(modes) == 1):
        return "row"
    return min(modes, key=lambda mode: price(goal, find(mode), options, device))


def comparable(modes: tuple[WriteMode, ...]) -> tuple[WriteMode, ...]:
    """Those whose prices are compared: write and verify only where rows cannot be written."""
    return tuple(mode for mode in modes if mode != "cell" or "row" not in modes)


def make(
    mode: WriteMode, total: Update, options: ArrayOptions, device: DeviceCard, generator: torch.Generator | None
) -> Schedule:
    """The schedule in this form."""
    build: dict[WriteMode, Callable[[], Schedule]] = {
        "outer": lambda: forms.outer(total, options, device, generator),
        "row": lambda: forms.row(total, options, device, generator),
        "cell": lambda: forms.cell(total, options, device),
    }
    return build[mode]()


def candidate(
    mode: WriteMode, total: Update, backend: BackendCard, options: ArrayOptions, device: DeviceCard,
    held: Tensor | None = None,
) -> Candidate:  # fmt: skip
    """The form with all rests drawn, by a generator of its own, and its cost."""
    drawn = options.writing.model_copy(update={"rounding": "stochastic"})
    whole = options.model_copy(update={"writing": drawn})
    schedule = make(mode, total, whole, device, torch.Generator().manual_seed(0))
    return Candidate(mode, schedule, predict(schedule, backend, device, held))


def price(goal: Objective, found: Candidate, options: ArrayOptions, device: DeviceCard) -> float:
    """Seconds, joules or pulses of a candidate.

    Raises:
        ScheduleError: it is not known.
    """
    cost = found.cost
    value = {"time": cost.time_s, "energy": cost.energy_j, "wear": cost.pulses}[goal]
    if value is None:
        unknown = ", ".join(electrics(options, device).unknown) or "how its cells are programmed"
        raise ScheduleError(
            f"device {device.name}", "writing.minimise", goal, rule=f"is not known of form {found.form}: {unknown}",
            fix="give array.circuit and array.assumed in the backend card, or minimise wear",
        )  # fmt: skip
    return value
