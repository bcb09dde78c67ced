"""Whether what a step computes is finite, looked at where that is cheap.

On a CPU a look costs a pass over the values: a step that is not finite is refused before it changes anything. On
another device the host would wait for all that was launched before, so there the largest entry so far is kept where it
is, and looked at together with the loss (`mep_hw.training.loop`). Weights have then been changed since. Only updates
count there, because no rule makes a finite update of a contrast that is not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mep_hw import foreach
from mep_hw.distributed import ALONE, Group
from mep_hw.errors import DivergenceError
from mep_hw.outersum import OuterSum, Update, checksum

LOWER = "lower lr, momentum or beta"


@dataclass
class Finite:
    """Looks for NaN and infinity in what a machine on `place` computes.

    among: the processes whose contrasts differ, and which refuse one together.
    """

    place: torch.device
    among: Group = ALONE
    largest: Tensor | None = field(default=None, init=False)

    @property
    def at_once(self) -> bool:
        """Whether looks are free, so that every step is looked at before it changes anything."""
        return self.place.type == "cpu"

    def contrast(self, values: Sequence[Update | None]) -> None:
        """Note a contrast, before rules work on it.

        Raises:
            DivergenceError: it is not finite; only where `at_once`.
        """
        if self.at_once:
            _refuse("contrast", [value for value in values if value is not None], self.among)

    def updates(self, values: Sequence[Update]) -> None:
        """Note all updates of a step, before any is executed.

        Raises:
            DivergenceError: one is not finite; elsewhere only a factor that the host knows.
        """
        if self.at_once:
            _refuse("update", values)
        elif not all(_in_range(value) for value in values):
            raise _refusal("update")
        elif values:
            parts = [part for value in values for part in _parts(value)]
            found = foreach.largest(parts)  # a few launches for all
            self.largest = found if self.largest is None else torch.maximum(self.largest, found)

    def look(self, kept: str = "") -> None:
        """Read back what was noted; `kept` says at the end of the message what there is to go back to.

        Raises:
            DivergenceError: it was not finite.
        """
        if self.largest is not None and not math.isfinite(float(self.largest)):
            rule = "was not finite in one of the last steps, and weights were changed before that was seen"
            raise DivergenceError("train", "update", "nan", rule=rule, fix=LOWER + kept)


def _refuse(what: str, values: Sequence[Update], among: Group = ALONE) -> None:
    parts = [checksum(value) for value in values]
    if parts and not math.isfinite(among.sum(torch.stack(parts).sum()).item()):  # one number for all of them
        raise _refusal(what)


def _refusal(what: str) -> DivergenceError:
    rule = "is not finite, so the step was refused and no weight was changed"
    return DivergenceError("train", what, "nan", rule=rule, fix=LOWER)


def _parts(update: Update) -> list[Tensor]:
    return [update.left, update.right] if isinstance(update, OuterSum) else [update]


def _in_range(update: Update) -> bool:
    """Whether the number in front of an update's factors is one of their format."""
    return not isinstance(update, OuterSum) or abs(update.scale) <= torch.finfo(update.left.dtype).max
