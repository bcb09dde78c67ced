"""Ranges of numbers and lists of names that people give to constructors, and the one check of each.

A number is a real one or a tensor without dimensions; `True` passes for 1 in Python and is refused. Settings that come
from files and the command line are checked by pydantic instead (`mep_hw.settings`, `mep_hw.cards`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import cast

from torch import Tensor

from mep_hw.errors import InputError


@dataclass(frozen=True)
class Range:
    """rule: what has to hold, for people. holds: the same of one number; NaN must fail it. whole: no fractions."""

    rule: str
    holds: Callable[[float], bool]
    whole: bool = False


POSITIVE = Range("must be above 0 and finite", lambda v: 0 < v < math.inf)
NOT_NEGATIVE = Range("must be at least 0 and finite", lambda v: 0 <= v < math.inf)
SHARE = Range("must be above 0 and at most 1", lambda v: 0 < v <= 1)
BELOW_ONE = Range("must be at least 0 and below 1", lambda v: 0 <= v < 1)
SIZE = Range("must be at least 0", lambda v: v >= 0)  # infinity is a size that nothing exceeds
COUNT = Range("must be at least 1", lambda v: v >= 1, whole=True)


def require(where: str, field: str, value: object, allowed: Range, fix: str) -> None:
    """Raises InputError, with the way out `fix`, unless `value` is a number that lies in `allowed`."""
    number: object = value.item() if isinstance(value, Tensor) and not value.dim() else value
    if isinstance(number, bool) or not isinstance(number, Real):
        rule = "must be a number"
    elif allowed.whole and not isinstance(number, Integral):
        rule = "must be a whole number"
    elif not allowed.holds(cast("float", number)):  # any real number can be compared
        rule = allowed.rule
    else:
        return
    raise InputError(where, field, value, rule=rule, fix=fix)


def require_one_of(where: str, field: str, value: str, known: Iterable[str], fix: str) -> None:
    """Raises InputError, with the way out `fix`, unless `value` is one of the names `known`."""
    names = list(known)
    if value not in names:
        raise InputError(where, field, value, rule=f"is not one of {', '.join(names)}", fix=fix)
