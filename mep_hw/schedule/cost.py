"""What a schedule costs. A figure that is not known is None, never 0, and makes every sum with it unknown."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Cost:
    """Time (s) and energy (J) of the modelled machine, counts, and wear of the most used cell (share of endurance)."""

    time_s: float | None = None
    energy_j: float | None = None
    cycles: int | None = None
    slots: int | None = None
    pulses: int | None = None
    wear_max: float | None = None

    @classmethod
    def none(cls) -> Cost:
        """Nothing executed: the neutral element of addition."""
        return cls(0.0, 0.0, 0, 0, 0, 0.0)

    def __add__(self, other: Cost) -> Cost:
        # Wear of one array grows with every schedule it executes, so it adds like the rest.
        return Cost(
            _sum(self.time_s, other.time_s), _sum(self.energy_j, other.energy_j), _sum(self.cycles, other.cycles),
            _sum(self.slots, other.slots), _sum(self.pulses, other.pulses), _sum(self.wear_max, other.wear_max),
        )  # fmt: skip

    def as_dict(self) -> dict[str, float | int | None]:
        return {f.name: getattr(self, f.name) for f in fields(Cost)}


def _sum(a: Any, b: Any) -> Any:
    return None if a is None or b is None else a + b
