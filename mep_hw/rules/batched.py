"""Rules that work on several weights at once, because a GPU takes longer to launch small kernels than to run them.

Not on a CPU: there each goes by itself, and what is worked on stays in the cache (Adam on 784-512-512-10, one thread,
took 1.6 to 3 times as long together). `several` of one is the rule's `step`, so there is one form of the formulas.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from mep_hw.outersum import OuterSum, Update
from mep_hw.rules.base import Asked, Memory, Rule
from mep_hw.state import LocalStates


class Batched(Rule):
    """A rule that works on several weights at once where that saves launches."""

    @abstractmethod
    def several(self, group: Sequence[Asked]) -> list[tuple[Update, Memory]]:
        """The steps of weights that are `alike`, each as if it were alone."""

    def alike(self, asked: Asked) -> Hashable:
        """Weights of which this is the same can go together."""
        return None

    def step(
        self,
        contrast: Update,
        memory: Memory,
        *,
        lr: float,
        weights: Tensor | None = None,
        states: LocalStates | None = None,
    ) -> tuple[Update, Memory]:
        return self.several([Asked(contrast, memory, lr, weights, states)])[0]

    def steps(self, asked: Iterable[Asked]) -> Iterator[tuple[Update, Memory]]:
        groups: dict[Hashable, list[tuple[int, Asked]]] = {}
        found: dict[int, tuple[Update, Memory]] = {}
        for number, a in enumerate(asked):
            if _place(a.contrast).type == "cpu":
                found[number] = self.several([a])[0]
            else:
                groups.setdefault(self.alike(a), []).append((number, a))
        for group in groups.values():
            results = self.several([a for _, a in group])
            found |= {number: result for (number, _), result in zip(group, results, strict=True)}
        return (found[number] for number in range(len(found)))


def _place(update: Update) -> torch.device:
    return update.left.device if isinstance(update, OuterSum) else update.device
