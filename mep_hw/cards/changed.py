"""A card with some of its values replaced: checked like one from a file, and still of the folder it was read from.

The folder matters, because a class beside a backend's card and the tables of a device are looked for there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from mep_hw.cards.explain import card_error
from mep_hw.cards.schema import Card
from mep_hw.errors import CardError

AnyCard = TypeVar("AnyCard", bound=Card)


def changed(card: AnyCard, values: Mapping[str, object]) -> AnyCard:
    """The card with other values; keys are joined by dots, such as `settle.tolerance`.

    Raises:
        CardError: no such key, or a value that breaks a rule of the card.
    """
    data: dict[str, Any] = card.model_dump()
    for path, value in values.items():
        *blocks, last = path.split(".")
        block: Any = data
        for key in blocks:
            block = block.get(key) if isinstance(block, dict) else None
        if not isinstance(block, dict) or last not in block:
            raise CardError(card.origin, path, rule="is no key of this card", fix="see docs/cards.md for the keys")
        block[last] = value
    try:
        made = type(card).model_validate(data)
    except ValidationError as error:
        raise card_error(card.origin, type(card), error) from error
    made._path = card.path  # pyright: ignore[reportPrivateUsage]  # read from the same place
    return made
