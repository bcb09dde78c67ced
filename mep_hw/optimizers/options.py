"""Settings of the two modes, and what is refused before anything is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from mep_hw.errors import InputError
from mep_hw.layerwise.energy import NAMES
from mep_hw.layerwise.loss import LOSSES
from mep_hw.ranges import BELOW_ONE, COUNT, NOT_NEGATIVE, POSITIVE, SHARE, require

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
        require(WHERE, "beta", self.beta, POSITIVE, "0.01 is a good start")
        require(WHERE, "settle_steps", self.settle_steps, COUNT, "20 is a good start")
        require(WHERE, "tolerance", self.tolerance, NOT_NEGATIVE, "1e-3 is a good start")
        if self.estimator not in NAMES:
            raise _wrong("estimator", self.estimator, f"is not one of {', '.join(NAMES)}", "choose one of them")
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
    require(WHERE, "gamma", gamma, SHARE, "0.95 is usual")
    return gamma


def check_group(group: Mapping[str, Any]) -> None:
    """One parameter group as it is given, with its defaults filled in.

    Raises:
        InputError: an unknown entry, or a number out of range.
    """
    unknown = group.keys() - {"params", "lr", "momentum", "nesterov", "weight_decay", "initial_lr"}
    if unknown:
        known = "lr, momentum, nesterov and weight_decay"
        raise _wrong("parameter group", ", ".join(sorted(unknown)), f"is not one of {known}", "leave it out")
    require(WHERE, "lr", group["lr"], POSITIVE, "0.02 is a good start")
    check_numbers(group)


def check_numbers(group: Mapping[str, Any]) -> None:
    """The numbers of a group as a step finds them: schedulers may have changed them, down to an lr of 0.

    Raises:
        InputError: a number out of range.
    """
    require(WHERE, "lr", group["lr"], NOT_NEGATIVE, "see who sets it: the group, its scheduler or a loaded state")
    require(WHERE, "momentum", group["momentum"], BELOW_ONE, "0.95 is usual")
    require(WHERE, "weight_decay", group["weight_decay"], NOT_NEGATIVE, "0 switches it off")


def _wrong(field: str, value: object, rule: str, fix: str) -> InputError:
    return InputError(WHERE, field, value, rule=rule, fix=fix)
