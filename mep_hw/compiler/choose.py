"""Which form an update takes: the one that the card's objective finds cheapest among those that can be executed.

Forms are compared by what it takes to realise the whole update. Row writes leave fractions of a pulse to later updates,
and outer products leave weak directions; a form that is cheap today because it leaves much would be paid for tomorrow.
So row writes are compared with their rests drawn at random, which costs what the rests cost in the mean, and outer
products with all directions written. How well a form realises an update is not compared: outer products are right in
the mean, and their noise does not depend on the rank (see `explain`).

Row writes take the fewest pulses that there are, |update|_1 / step. Write and verify to the same change takes the same
pulses, and reads besides; where it takes less, it leaves what is within its tolerance. So where rows can be written,
wear chooses them, and write and verify is not compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from mep_hw.array.electrics import electrics
from mep_hw.cards.array import ArrayOptions, Objective
from mep_hw.cards.schema import BackendCard, DeviceCard, WriteMode
from mep_hw.compiler import forms
from mep_hw.compiler.eligible import eligible
from mep_hw.compiler.predict import Expected, expected, slots
from mep_hw.errors import ScheduleError
from mep_hw.outersum import Update
from mep_hw.schedule.cost import Cost
from mep_hw.schedule.ir import Outer, Row, Schedule


@dataclass(frozen=True)
class Candidate:
    """A form of an update on one machine, whose weights are `held` (out, in) before; None: all 0.

    made: what would be executed.
    schedule: what it is compared by, which leaves nothing.
    """

    form: WriteMode
    made: Schedule
    schedule: Schedule
    backend: BackendCard
    device: DeviceCard
    held: Tensor | None = None

    @cached_property
    def expected(self) -> Expected:
        """Of realising the whole update."""
        return expected(self.schedule, self.backend, self.device, self.held)

    @property
    def cost(self) -> Cost:
        """Predicted, of the same."""
        return self.expected.cost

    @cached_property
    def time_s(self) -> float | None:
        """The same, without the rest of the cost where that takes longer to find."""
        assert self.backend.array is not None  # it has cells
        (cycle,), slot = self.schedule.cycles, electrics(self.backend.array, self.device).slot_s
        if not isinstance(cycle, Outer | Row) or slot is None:
            return self.cost.time_s
        return slot * slots(cycle, self.backend.array, self.device)


Find = Callable[[WriteMode], Candidate]


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
    found: dict[WriteMode, Candidate] = {}

    def find(mode: WriteMode) -> Candidate:
        found[mode] = candidate(mode, total, backend, options, device, generator)
        return found[mode]

    mode = preferred(modes, options, find)
    return found[mode].made if mode in found else make(mode, total, options, device, generator)


def ranked(total: Update, backend: BackendCard, device: DeviceCard | None) -> Iterator[WriteMode]:
    """The modes that can be executed, the preferred one first."""
    modes, options = eligible(backend, device), backend.array
    if options is None or device is None or modes[0] == "exact":
        return iter(modes[:1])
    generator = torch.Generator().manual_seed(0)
    return in_order(modes, options, lambda mode: candidate(mode, total, backend, options, device, generator))


def in_order(modes: tuple[WriteMode, ...], options: ArrayOptions, find: Find) -> Iterator[WriteMode]:
    """The modes as `preferred` takes them, each as if those before it were not there; those without a known price come
    last, in the card's order.

    Raises:
        ScheduleError: as of `preferred`, for all of them.
    """
    first = preferred(modes, options, find)
    yield first
    others: list[WriteMode] = [mode for mode in modes if mode != first]
    while others:
        try:
            first = preferred(tuple(others), options, find)
        except ScheduleError:
            yield from others
            return
        yield first
        others.remove(first)


def preferred(modes: tuple[WriteMode, ...], options: ArrayOptions, find: Find) -> WriteMode:
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
    return min(modes, key=lambda mode: price(goal, find(mode)))


def comparable(modes: tuple[WriteMode, ...]) -> tuple[WriteMode, ...]:
    """Those whose prices are compared: write and verify only where rows cannot be written."""
    return tuple(mode for mode in modes if mode != "cell" or "row" not in modes)


def make(
    mode: WriteMode, total: Update, options: ArrayOptions, device: DeviceCard, generator: torch.Generator | None
) -> Schedule:
    """The schedule in this form."""
    if mode == "cell":
        return forms.cell(total, options, device)
    return (forms.outer if mode == "outer" else forms.row)(total, options, device, generator)


def candidate(
    mode: WriteMode, total: Update, backend: BackendCard, options: ArrayOptions, device: DeviceCard,
    generator: torch.Generator | None, held: Tensor | None = None,
) -> Candidate:  # fmt: skip
    """The form as the card wants it, and with all directions of the update written, or the rests of its rows drawn."""
    made = whole = make(mode, total, options, device, generator)
    if made.left is not None:
        seed = torch.Generator().manual_seed(0)
        drawn = options.writing.model_copy(update={"rounding": "stochastic", "rank_max": None})
        nothing_left = options.model_copy(update={"writing": drawn})
        if mode == "outer":
            whole = forms.outer(total, nothing_left, device, seed, least=0.0)
        else:
            whole = forms.row(total, nothing_left, device, seed)
    return Candidate(mode, made, whole, backend, device, held)


def price(goal: Objective, found: Candidate) -> float:
    """Seconds, joules or pulses of a candidate.

    Raises:
        ScheduleError: it is not known.
    """
    value = found.time_s if goal == "time" else found.cost.energy_j if goal == "energy" else found.cost.pulses
    if value is None:
        assert found.backend.array is not None  # it has cells
        unknown = ", ".join(electrics(found.backend.array, found.device).unknown) or "how its cells are programmed"
        raise ScheduleError(
            f"device {found.device.name}", "writing.minimise", goal, rule=f"is not known of {found.form}: {unknown}",
            fix="give array.circuit and array.assumed in the backend card, or minimise wear",
        )  # fmt: skip
    return value
