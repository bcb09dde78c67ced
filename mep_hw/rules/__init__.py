"""Rules: contrast in, update out. One rule a file; `make` builds one by its name, with the parts around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict

from mep_hw.distributed import ALONE, Group
from mep_hw.errors import InputError
from mep_hw.rules.adam import Adam as Adam
from mep_hw.rules.base import Asked as Asked
from mep_hw.rules.base import Memory as Memory
from mep_hw.rules.base import Rule as Rule
from mep_hw.rules.clip import Clipped as Clipped
from mep_hw.rules.decay import Decayed as Decayed
from mep_hw.rules.dion import Dion as Dion
from mep_hw.rules.feedback import ErrorFeedback as ErrorFeedback
from mep_hw.rules.hebbian import Hebbian as Hebbian
from mep_hw.rules.muon import Muon as Muon
from mep_hw.rules.natural import Natural as Natural
from mep_hw.rules.sgd import Sgd as Sgd
from mep_hw.rules.spectral import Bounded as Bounded
from mep_hw.state import LocalStates as LocalStates


class Defaults(TypedDict):
    """What `train` uses where a rule is asked for by name and nothing else is said."""

    lr: float
    momentum: float
    weight_decay: float


DEFAULTS: dict[str, Defaults] = {
    "sgd": {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.0},
    "adam": {"lr": 0.003, "momentum": 0.9, "weight_decay": 0.0},
    "muon": {"lr": 0.02, "momentum": 0.95, "weight_decay": 0.0},
    "dion": {"lr": 0.02, "momentum": 0.95, "weight_decay": 0.0},
    "natural": {"lr": 0.06, "momentum": 0.9, "weight_decay": 0.0},
    "hebbian": {"lr": 0.05, "momentum": 0.0, "weight_decay": 0.0},
}
NAMES = tuple(DEFAULTS)


def make(
    name: str,
    *,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    rank: int | None = None,
    error_feedback: bool | None = None,
    clip: float | None = None,
    group: Group = ALONE,
) -> Rule:
    """The rule called `name`. Decay is L2 for sgd and adam and decoupled for the others, as their authors have it.

    Args:
        rank, error_feedback: of rule dion; None takes its defaults.
        clip: largest length of a contrast; None does not clip.
        group: the job of several processes that the rule will work in.

    Raises:
        InputError: no rule has this name, or it has no use for an argument that was given.
    """
    if name not in DEFAULTS:
        raise InputError("train", "rule", name, rule=f"is not one of {', '.join(NAMES)}", fix="choose one of them")
    asked = {"rank": rank, "error_feedback": error_feedback}
    if name != "dion":
        for field, value in asked.items():
            if value is not None:
                rule = f"is not for rule {name}"
                raise InputError("train", field, value, rule=rule, fix="use rule dion, or leave it out")
    if name == "hebbian" and (momentum or weight_decay):
        field, value = ("momentum", momentum) if momentum else ("weight_decay", weight_decay)
        rule = "must be 0 for rule hebbian, which remembers nothing"
        raise InputError("train", field, value, rule=rule, fix="leave it out, or use rule sgd")
    build: dict[str, Callable[..., Rule]] = {
        "sgd": lambda: Sgd(momentum=momentum, weight_decay=weight_decay),
        "adam": lambda: Adam(beta1=momentum, weight_decay=weight_decay),
        "muon": lambda: Muon(momentum=momentum),
        # The length of a contrast is known of whole ones only, and then there is nothing left for Dion to sum.
        "dion": lambda: Dion(
            rank=rank, momentum=momentum, feedback=error_feedback is not False, group=ALONE if clip else group
        ),
        "natural": lambda: Natural(momentum=momentum),
        "hebbian": Hebbian,
    }
    rule = build[name]()
    if weight_decay and name not in ("sgd", "adam"):
        rule = Decayed(rule, weight_decay)
    return rule if clip is None else Clipped(rule, clip)
