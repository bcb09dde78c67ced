"""What assumptions do to a choice: every assumed number halved and doubled, one at a time.

Costs only: assumed numbers change no weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mep_hw.array.electrics import assumptions
from mep_hw.cards.array import ArrayOptions
from mep_hw.cards.changed import changed
from mep_hw.cards.schema import BackendCard, DeviceCard, WriteMode
from mep_hw.compiler.choose import Candidate, preferred
from mep_hw.compiler.sensitivity import number

FACTORS = (0.5, 2.0)
_BOUND = ("activity", "drive_s", "read_s", "reads_per_product")  # shares, whole numbers and times within each other


@dataclass(frozen=True)
class Swing:
    """One assumed number at `factor` times its value.

    path: of the number in the backend's card.
    time, energy: of the chosen form, as multiples of what they are without; None: unknown, or nothing to multiply.
    chosen: the form that would be chosen then.
    """

    path: str
    factor: float
    time: float | None
    energy: float | None
    chosen: WriteMode


def swings(
    found: Mapping[WriteMode, Candidate], chosen: WriteMode, backend: BackendCard, options: ArrayOptions,
    device: DeviceCard,
) -> tuple[Swing, ...]:  # fmt: skip
    """All of them, for the candidates that are compared on `backend`, whose array `options` are."""
    results: list[Swing] = []
    for path in paths(options, device):
        for factor in FACTORS:
            card = changed(backend, {path: number(backend, path) * factor})
            assert card.array is not None  # as of `backend`
            costs: dict[WriteMode, Candidate] = {}
            for mode, one in found.items():
                costs[mode] = replace(one, backend=card)
            choice = preferred(tuple(costs), card.array, costs.__getitem__)
            before, after = found[chosen].cost, costs[chosen].cost
            time, energy = _ratio(after.time_s, before.time_s), _ratio(after.energy_j, before.energy_j)
            results.append(Swing(path, factor, time, energy, choice))
    return tuple(results)


def paths(options: ArrayOptions, device: DeviceCard) -> list[str]:
    """Where the card holds numbers that are assumed for this device, or that it calls unsourced itself."""
    unsourced = () if options.circuit is None else options.circuit.unsourced
    given = [f"array.assumed.{name}.value" for name in assumptions(options, device)]
    return given + [f"array.circuit.{name}" for name in unsourced if name not in _BOUND]


def _ratio(after: float | None, before: float | None) -> float | None:
    return after / before if after is not None and before else None
