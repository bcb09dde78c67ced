"""Settings of the two modes, and what is refused before anything is built."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from mep_hw.errors import InputError
from mep_hw.layerwise.energy import NAMES
from mep_hw.layerwise.loss import LOSSES

WHERE = "optimizer"
MODES = ("ep", "backprop")


@dataclass(frozen=True)
class Nudging:
    """How a contrast is measured in mode ep.

    beta: nudging strength, above 0.
    settle_steps: most sweeps of a nudged phase.
    estimator: centered, one_sided or richardson.
    tolerance: a sample stops when its residual is at most tolerance * |beta|.
    loss: squared_error or cross_entropy; None decides by the target's type, or by the model where it has a loss.
    """

    beta: float = 0.01
    settle_steps: int = 20
    estimator: str = "centered"
    tolerance: float = 1e-3
    loss: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.beta < math.inf:
            raise _wrong("beta", self.beta, "must be above 0 and finite", "0.01 is a good start")
        if self.settle_steps < 1:
            raise _wrong("settle_steps", self.settle_steps, "must be at least 1", "20 is a good start")
        if self.estimator not in NAMES:
            raise _wrong("estimator", self.estimator, f"is not one of {', '.join(NAMES)}", "choose one of them")
        if not 0 <= self.tolerance < math.inf:
            raise _wrong("tolerance", self.tolerance, "must be at least 0 and finite", "1e-3 is a good start")
        if self.loss is not None and self.loss not in LOSSES:
            raise _wrong("loss", self.loss, f"is not one of {', '.join(LOSSES)}", "choose one of them, or leave it out")


def nudging(mode: str, **asked: Any) -> Nudging | None:
    """Settings of mode ep, None in mode backprop; a value None takes the default.

    Raises:
        InputError: unknown mode, a value out of range, or one given that has no effect in mode backprop.
    """
    if mode not in MODES:
        raise _wrong("mode", mode, f"is not one of {', '.join(MODES)}", "choose one of them")
    given = {name: value for name, value in asked.items() if value is not None}
    if mode == "ep":
        return Nudging(**{name: value for name, value in given.items() if name in {f.name for f in fields(Nudging)}})
    for name, value in given.items():
        raise _wrong(name, value, "has no effect in mode backprop", "leave it out, or use mode ep")
    return None


def bound(use_spectral_constraint: bool, gamma: float | None) -> float | None:
    """The spectral bound, None for none.

    Raises:
        InputError: gamma outside (0, 1], or given without the constraint.
    """
    if not use_spectral_constraint:
        if gamma is not None:
            raise _wrong("gamma", gamma, "has no effect without the constraint", "set use_spectral_constraint=True")
        return None
    gamma = 0.95 if gamma is None else gamma
    if not 0 < gamma <= 1:
        raise _wrong("gamma", gamma, "must be above 0 and at most 1", "0.95 is usual")
    return gamma


def check_group(group: Mapping[str, Any]) -> None:
    """One parameter group, with its defaults filled in.

    Raises:
        InputError: a number out of range.
    """
    unknown = group.keys() - {"params", "lr", "momentum", "nesterov", "weight_decay", "initial_lr"}
    if unknown:
        known = "lr, momentum, nesterov and weight_decay"
        raise _wrong("parameter group", ", ".join(sorted(unknown)), f"is not one of {known}", "leave it out")
    lr, momentum, decay = float(group["lr"]), float(group["momentum"]), float(group["weight_decay"])
    if not 0 < lr < math.inf:
        raise _wrong("lr", lr, "must be above 0 and finite", "0.02 is a good start")
    if not 0 <= momentum < 1:
        raise _wrong("momentum", momentum, "must be at least 0 and below 1", "0.95 is usual")
    if not 0 <= decay < math.inf:
        raise _wrong("weight_decay", decay, "must be at least 0 and finite", "0 switches it off")


def _wrong(field: str, value: object, rule: str, fix: str) -> InputError:
    return InputError(WHERE, field, value, rule=rule, fix=fix)
