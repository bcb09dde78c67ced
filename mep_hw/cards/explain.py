"""From a failed validation to one line for people: which file, which field, what value, which rule, a way out.

Only the first error is told; the next one shows after it is mended. Bounds, types, choices and unknown keys get a
wording of their own; anything else keeps pydantic's, which is correct but less plain.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from mep_hw.errors import CardError

_PLAIN = {
    "missing": "is missing",
    "union_tag_not_found": "is missing",
    "extra_forbidden": "is not a known key",
    "invalid_key": "is not a known key",
    "bool_type": "must be true or false",
    "dict_type": "must be a block of keys and values",
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "model_type": "must be a block of keys and values",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "tuple_type": "must be a list",
}
_UNKNOWN_KEY = ("extra_forbidden", "invalid_key")  # the second is a key that is not text
_UNION_TAG = ("union_tag_invalid", "union_tag_not_found")
_BOUNDS = {"greater_than": ">", "greater_than_equal": ">=", "less_than": "<", "less_than_equal": "<="}
_LIMIT_KEYS = {"greater_than": "gt", "greater_than_equal": "ge", "less_than": "lt", "less_than_equal": "le"}


def card_error(where: str, schema: type[BaseModel], error: ValidationError) -> CardError:
    """The first error in `error` as a `CardError`.

    Args:
        where: the card's file, as the message shall name it.
        schema: the card class that was validated.
        error: what pydantic raised.
    """
    # An unknown key often explains a missing one (a misspelling), so it is told first.
    first = min(error.errors(include_url=False), key=lambda item: item["type"] not in _UNKNOWN_KEY)
    # Inside a union pydantic adds the member's name, such as float or tuple[float, ...], which is no field.
    location = tuple(str(part) for part in first["loc"] if part != "float" and "[" not in str(part))
    if first["type"] in _UNION_TAG:  # told of the block; what is wrong is the key in it that chooses the block's kind
        location = (*location, first.get("ctx", {})["discriminator"].strip("'"))
    block, info, location = _find(schema, location)
    field = ".".join(location)
    if first["type"] in _UNKNOWN_KEY:
        fix = did_you_mean(location[-1], keys(block)) + f"known keys are {', '.join(keys(block))}"
    elif info is not None and info.description:
        fix = f"it means: {info.description}"
    else:
        fix = f"a card has the keys {', '.join(keys(schema))}"
    if first["type"] in ("missing", "union_tag_not_found") or not field:
        return CardError(where, field, rule=_rule(first), fix=fix)
    value: object = first.get("ctx", {})["tag"] if first["type"] == "union_tag_invalid" else first["input"]
    return CardError(where, field, "null" if value is None else value, rule=_rule(first), fix=fix)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`"did you mean 'x'? "` for the closest known word, or an empty string when none is close."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean '{close[0]}'? " if close else ""


def keys(schema: type[BaseModel]) -> list[str]:
    """The keys of a block as they are written in a card, in the order of the schema."""
    return [info.alias or name for name, info in schema.model_fields.items()]


def _rule(error: ErrorDetails) -> str:
    kind = error["type"]
    context: Mapping[str, Any] = error.get("ctx", {})
    if kind in _BOUNDS:
        return f"must be {_BOUNDS[kind]} {context[_LIMIT_KEYS[kind]]:g}"
    if kind == "literal_error":
        return f"must be {context['expected']}"
    if kind == "union_tag_invalid":
        return f"must be one of {context['expected_tags']}"
    if kind == "value_error":
        return str(context["error"])
    if kind == "too_short" and context["min_length"] > 1:
        return f"must have at least {context['min_length']} entries"
    if kind == "string_pattern_mismatch":
        return f"must match {context['pattern']}"
    return _PLAIN.get(kind, error["msg"])


def _find(
    schema: type[BaseModel], location: tuple[str, ...]
) -> tuple[type[BaseModel], FieldInfo | None, tuple[str, ...]]:
    """The innermost block on the way to `location`, the last field on that way that the schema knows, and the way as
    keys of the card: pydantic names the kind of a block beside its key where a key such as `family` chooses it."""
    block, info = schema, None
    way: list[str] = []
    rest = list(location)
    while rest:
        way.append(rest.pop(0))
        fields = {field.alias or name: field for name, field in block.model_fields.items()}
        if way[-1] not in fields:
            break
        info = fields[way[-1]]
        inner = _inner_block(info, rest[0] if rest else None)
        if info.discriminator is not None and inner is not None and len(rest) > 1:
            rest.pop(0)
        if inner is None or not rest:
            break
        block = inner
    return block, info, (*way, *rest)


def _inner_block(info: FieldInfo, kind: str | None) -> type[BaseModel] | None:
    """The block class in an annotation such as `Block` or `Block | None`, or the one of this kind in a choice."""
    for candidate in (info.annotation, *get_args(info.annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            if info.discriminator is None or kind in get_args(
                candidate.model_fields[str(info.discriminator)].annotation
            ):
                return candidate
    return None
