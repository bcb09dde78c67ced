"""What a schedule may take at most: time, energy, and pulses or wear of the cell that gets most of them.

Held against predictions, which are exact for pulses that are counted beforehand and means for verified writes. A figure
that is not known keeps to no limit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

from mep_hw.cards.schema import WriteMode
from mep_hw.compiler.predict import Expected
from mep_hw.errors import ScheduleError
from mep_hw.ranges import POSITIVE, require

Figures = Mapping[str, float | None]


@dataclass(frozen=True)
class Budget:
    """Limits; None: there is none.

    time_s, energy_j: seconds and joules of the schedule.
    pulses_max: of one cell.
    wear_max: of one cell, as a share of its endurance.

    Raises:
        InputError: a limit is not above 0 and finite.
    """

    time_s: float | None = None
    energy_j: float | None = None
    pulses_max: float | None = None
    wear_max: float | None = None

    def __post_init__(self) -> None:
        for name, limit in self.limits.items():
            require("budget", name, limit, POSITIVE, "leave it out where there is no limit")

    @property
    def limits(self) -> dict[str, float]:
        """Those that there are, by name."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: limit for name, limit in found.items() if limit is not None}

    def excess(self, figures: Figures) -> dict[str, float]:
        """Figure over limit where that is above 1, infinite where the figure is not known."""
        shares = {name: math.inf if (f := figures[name]) is None else f / limit for name, limit in self.limits.items()}
        return {name: share for name, share in shares.items() if share > 1}

    def refused(self, tried: Mapping[WriteMode, Figures]) -> ScheduleError:
        """The error where all forms exceed it: the limit that is the worst of the form that comes closest."""
        worst = [(*max((s, name) for name, s in self.excess(f).items()), mode, f) for mode, f in tried.items()]
        _, name, mode, found = min(worst, key=lambda entry: entry[0])
        figure = found[name]
        told = "is not known of it" if figure is None else f"takes {figure:.3g}"
        rule = f"cannot be kept: the form that comes closest, {mode}, {told}"
        fix = "raise the limit, or make the update smaller"
        if figure is None:
            fix = "leave the limit out, or give array.circuit and array.assumed in the backend card"
        return ScheduleError("budget", name, f"{self.limits[name]:g}", rule=rule, fix=fix)


def figures(found: Expected) -> Figures:
    """What a schedule takes of every limit, by name."""
    cost, most = found.cost, None if found.pulses is None else float(found.pulses.max())
    return {"time_s": cost.time_s, "energy_j": cost.energy_j, "pulses_max": most, "wear_max": cost.wear_max}
