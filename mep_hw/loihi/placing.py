"""How many cores each population takes: the fewest on which every known limit of a core holds.

Populations do not share cores, and the units of one are spread evenly over its cores, in their own order. Synapses lie
in the core of the neuron that they end at, and a core hears each neuron by one axon, however many of its own listen.
A neuron needs one entry for every core that it sends to, so more cores on one side can ask for more on the other; the
counts only grow, until all fit. A compiler that mixes populations on a core may do with fewer cores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mep_hw.errors import CapabilityError
from mep_hw.loihi.memory import Memory
from mep_hw.loihi.wiring import Wiring

PER_CORE: tuple[str, ...] = ("neurons_per_core", "synapse_bits_per_core", "axons_in_per_core", "axons_out_per_core")


@dataclass(frozen=True)
class Placed:
    """One population on its cores.

    needed: of the fullest core, by the name of the limit.
    decided_by: the limit that lies closest on one core fewer, or on the one core; None where no limit is known.
    """

    cores: int
    needed: dict[str, int]
    decided_by: str | None


def place(units: Sequence[int], wirings: Sequence[Wiring], memory: Memory, cores: int | None) -> list[Placed]:
    """Cores of every population.

    Args:
        units: neurons of every population, the input first.
        cores: how many there are, None: unknown.

    Raises:
        CapabilityError: a limit that more cores do not help to meet; names the layer.
    """
    search = _Search(units, wirings, memory, cores)
    counts = [search.fewest(layer, [1] * len(units), alone=True) for layer in range(len(units))]
    while True:
        larger = [search.fewest(layer, counts, alone=False) for layer in range(len(units))]
        if larger == counts:
            return [search.placed(layer, counts) for layer in range(len(units))]
        counts = larger


class _Search:
    """Tries numbers of cores of one population while those of the others stand."""

    def __init__(self, units: Sequence[int], wirings: Sequence[Wiring], memory: Memory, cores: int | None) -> None:
        self.units, self.memory, self.chip = units, memory, memory.chip
        self.into = [[w for w in wirings if w.target == n] for n in range(len(units))]
        self.out_of = [[w for w in wirings if w.source == n] for n in range(len(units))]
        self.most = [n if cores is None else min(n, cores) for n in units]
        self.limits = {name: getattr(self.chip, name).count for name in PER_CORE}

    def fewest(self, layer: int, counts: Sequence[int], alone: bool) -> int:
        """The fewest cores, counts[layer] or more; `alone` leaves out where its neurons send to."""
        for cores in range(counts[layer], self.most[layer] + 1):
            if not self._over(self._needed(layer, cores, counts, alone)):
                return cores
        raise self._refusal(layer, self._needed(layer, self.most[layer], counts, alone))

    def _over(self, needed: dict[str, int]) -> list[str]:
        """Known limits that this is above."""
        return [name for name, limit in self.limits.items() if limit is not None and needed[name] > limit]

    def placed(self, layer: int, counts: Sequence[int]) -> Placed:
        cores = counts[layer]
        tight = self._needed(layer, max(cores - 1, 1), counts, alone=False)
        shares = {name: value / limit for name, value in tight.items() if (limit := self.limits[name])}
        decided = max(shares, key=lambda name: shares[name]) if shares else None
        return Placed(cores, self._needed(layer, cores, counts, alone=False), decided)

    def _needed(self, layer: int, cores: int, counts: Sequence[int], alone: bool) -> dict[str, int]:
        """What the fullest core needs of everything that a core has."""
        found: dict[str, int] = dict.fromkeys(PER_CORE, 0)
        for first, last in runs(self.units[layer], cores):
            heard = [(w, w.heard(first, last)) for w in self.into[layer]]
            here = {
                "neurons_per_core": last - first,
                "synapse_bits_per_core": sum(self._memory(w, synapses) for w, synapses in heard),
                "axons_in_per_core": sum(len(synapses) for _, synapses in heard),
                "axons_out_per_core": 0 if alone else self._entries(layer, first, last, counts),
            }
            found = {name: max(found[name], value) for name, value in here.items()}
        return found

    def _memory(self, wiring: Wiring, synapses: NDArray[Any]) -> int:
        numbers, times = np.unique(synapses, return_counts=True)
        pairs = zip(numbers.tolist(), times.tolist(), strict=True)
        return sum(self.memory.of_axon(wiring, number) * count for number, count in pairs)

    def _entries(self, layer: int, first: int, last: int, counts: Sequence[int]) -> int:
        """Pairs of a neuron of this core and a core that it sends to."""
        return sum(
            w.reaching(first, last, core)
            for w in self.out_of[layer]
            for core in runs(self.units[w.target], counts[w.target])
        )

    def _refusal(self, layer: int, needed: dict[str, int]) -> CapabilityError:
        name, cores = self._over(needed)[0], self.most[layer]
        where = "the input" if layer == 0 else f"layer {layer}"
        limit = getattr(self.chip, name)
        return CapabilityError(
            f"chip {self.chip.name}", f"{where}, {name}", needed[name],
            rule=f"is above {limit.count} ({limit.source}), even on {cores} core{'s' * (cores > 1)}",
            fix="take fewer units or connections, or more chips",
        )  # fmt: skip


def runs(units: int, cores: int) -> list[tuple[int, int]]:
    """First unit and the one behind the last of every core; sizes differ by one at most, the larger ones first."""
    size, larger = divmod(units, cores)
    edges = [core * size + min(core, larger) for core in range(cores + 1)]
    return list(zip(edges, edges[1:], strict=False))
