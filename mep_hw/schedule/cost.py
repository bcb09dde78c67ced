"""What a schedule costs. A figure that is not known is None, never 0, and makes every sum with it unknown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any


@dataclass(frozen=True)
class Cost:
    """What a modelled machine spent.

    time_s, energy_j: seconds and joules.
    cycles: addressing events, one after the other; what several arrays do at once counts once.
    slots: times at which lines can fire, polarity phases included.
    pulses: of all cells. Counts are whole numbers, but means where a prediction cannot know them.
    line_pulses: of all lines, in every array and phase that drives them.
    reads: of lines, one after the other.
    wear_max: of the most used cell, as a share of its endurance: of what was executed, what the machine's most used
        cell has grown by; of a prediction, what the schedule's most pulsed cell would get.
    """

    time_s: float | None = None
    energy_j: float | None = None
    cycles: float | None = None
    slots: float | None = None
    pulses: float | None = None
    line_pulses: float | None = None
    reads: float | None = None
    wear_max: float | None = None

    @classmethod
    def none(cls) -> Cost:
        """Nothing executed: the neutral element of addition."""
        return cls(0.0, 0.0, 0, 0, 0, 0, 0, 0.0)

    def __add__(self, other: Cost) -> Cost:
        # Wear of one array grows with every schedule it executes, so it adds like the rest.
        return Cost(*map(known_sum, _figures(self), _figures(other)))

    def as_dict(self) -> dict[str, float | int | None]:
        return {f.name: getattr(self, f.name) for f in fields(Cost)}


_figures = attrgetter(*(f.name for f in fields(Cost)))


def known_sum(a: Any, b: Any) -> Any:
    """a + b; None where one of them is not known."""
    return None if a is None or b is None else a + b


def known_max(values: Iterable[float | None]) -> float | None:
    """The largest; None where one of them is not known, 0 where there are none."""
    found = list(values)
    return None if None in found else max((value for value in found if value is not None), default=0.0)
