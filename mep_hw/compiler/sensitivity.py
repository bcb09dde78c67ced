"""By how much a figure moves when one number of a card is halved or doubled: which assumption carries an estimate.

One number at a time, so it says nothing of errors that come together, and a factor of 2 is a convention, not an error
bar: some numbers are known better, others worse.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mep_hw.cards.changed import AnyCard, changed
from mep_hw.cards.explain import did_you_mean
from mep_hw.cards.schema import Card
from mep_hw.errors import CardError


@dataclass(frozen=True)
class Swing:
    """One row of the table.

    path: of the number in the card, such as `array.circuit.adc_j`.
    value: the number in the card, in its own unit.
    halved, doubled: the figure with half and with twice that number, over the figure of the card.
    """

    path: str
    value: float
    halved: float
    doubled: float

    @property
    def size(self) -> float:
        """The larger of the two moves, as a factor of 1 or above."""
        return max(max(ratio, 1 / ratio) if ratio > 0 else math.inf for ratio in (self.halved, self.doubled))


def sensitivity(cost: Callable[[AnyCard], float | None], card: AnyCard, paths: Sequence[str]) -> list[Swing]:
    """The figure `cost(card)` with each number of `paths` halved and doubled, the one that moves it most first.

    Args:
        cost: any figure of a card, such as `lambda card: product_cost(card, None, 256, 256).energy_j`.
        paths: keys of the card joined by dots, `electrical.g_max.value` for the number of a quantity.

    Raises:
        CardError: no such key, a key without a number, a number whose half or double breaks a rule of the card, or a
            figure that is not known or 0.
    """
    base = _figure(cost, card)
    rows: list[Swing] = []
    for path in paths:
        value = number(card, path)
        half, double = (_figure(cost, changed(card, {path: value * factor})) / base for factor in (0.5, 2.0))
        rows.append(Swing(path, value, half, double))
    return sorted(rows, key=lambda row: row.size, reverse=True)


def _figure(cost: Callable[[AnyCard], float | None], card: AnyCard) -> float:
    figure = cost(card)
    if not figure:
        rule = "the figure to vary is " + ("not known" if figure is None else "0")
        raise CardError(card.origin, rule=rule, fix="give the numbers that it needs")
    return figure


def number(card: Card, path: str) -> float:
    """The number at this place of a card."""
    where: Any = card.model_dump()
    for key in path.split("."):
        if not isinstance(where, dict) or key not in where:
            known = list(where) if isinstance(where, dict) else []
            fix = did_you_mean(key, known) + (f"there are {', '.join(known)}" if known else "end the path before it")
            raise CardError(card.origin, path, rule=f"there is no key {key}", fix=fix)
        where = where[key]
    if not isinstance(where, float):
        raise CardError(card.origin, path, where, rule="must be a number with a point", fix="vary another one")
    return where
