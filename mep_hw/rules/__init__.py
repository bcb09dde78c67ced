"""Rules: contrast in, update out. One rule a file; `make` builds one by its name."""

from __future__ import annotations

from mep_hw.errors import InputError
from mep_hw.rules.adam import Adam
from mep_hw.rules.base import Memory as Memory
from mep_hw.rules.base import Rule as Rule
from mep_hw.rules.sgd import Sgd

NAMES = ("sgd", "adam")


def make(name: str, *, momentum: float = 0.0, weight_decay: float = 0.0) -> Rule:
    """The rule called `name`.

    Raises:
        InputError: no rule has this name.
    """
    if name == "sgd":
        return Sgd(momentum=momentum, weight_decay=weight_decay)
    if name == "adam":
        return Adam(beta1=momentum, weight_decay=weight_decay)
    raise InputError("train", "rule", name, rule=f"is not one of {', '.join(NAMES)}", fix="choose one of them")
