"""What assumptions do to a result: every assumed number halved and doubled, one at a time.

Costs only: assumed numbers change no weight. Numbers of the circuit are the card's own and not varied here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from mep_hw.array.electrics import assumptions
from mep_hw.cards.array import ArrayOptions
from mep_hw.cards.schema import BackendCard, DeviceCard, WriteMode
from mep_hw.compiler.choose import Candidate, preferred
from mep_hw.compiler.predict import predict

FACTORS = (0.5, 2.0)


@dataclass(frozen=True)
class Swing:
    """One assumed number at `factor` times its value.

    time, energy: of the chosen form, as multiples of what they are without; None: unknown, or nothing to multiply.
    chosen: the form that would be chosen then.
    """

    name: str
    factor: float
    time: float | None
    energy: float | None
    chosen: WriteMode


def swings(
    found: Mapping[WriteMode, Candidate], chosen: WriteMode, backend: BackendCard, options: ArrayOptions,
    device: DeviceCard, held: Tensor,
) -> tuple[Swing, ...]:  # fmt: skip
    """All of them, for the candidates that are compared on `backend`, whose array `options` are."""
    results: list[Swing] = []
    for name, number in assumptions(options, device).items():
        assert options.assumed is not None and number.value is not None  # or it would not be assumed
        for factor in FACTORS:
            other = number.model_copy(update={"value": number.value * factor})
            array = options.model_copy(update={"assumed": options.assumed.model_copy(update={name: other})})
            card = backend.model_copy(update={"array": array})
            costs: dict[WriteMode, Candidate] = {}
            for mode, one in found.items():
                costs[mode] = replace(one, cost=predict(one.schedule, card, device, held))
            choice = preferred(tuple(costs), array, device, costs.__getitem__)
            before, after = found[chosen].cost, costs[chosen].cost
            time, energy = _ratio(after.time_s, before.time_s), _ratio(after.energy_j, before.energy_j)
            results.append(Swing(name, factor, time, energy, choice))
    return tuple(results)


def _ratio(after: float | None, before: float | None) -> float | None:
    return after / before if after is not None and before else None
