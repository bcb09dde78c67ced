"""What machines of whole numbers ask of a card: a fixed number of steps that are shifts, and nudges that suit them."""

from __future__ import annotations

import math

from torch import Tensor

from mep_hw.cards.schema import BackendCard
from mep_hw.errors import CapabilityError, CardError


def require_fixed_steps(card: BackendCard) -> None:
    """Refuse what only a machine that looks at its states does.

    Raises:
        CardError: names the field.
    """
    settle = card.settle
    for field in ("tolerance", "nudged_tolerance"):
        value = getattr(settle, field)
        if value:
            rule, fix = "must be 0, as a chip runs a fixed number of steps", "set free_sweeps and nudged_sweeps"
            raise CardError(card.origin, f"settle.{field}", value, rule=rule, fix=fix)
    for field in ("anderson", "average"):
        value = getattr(settle, field)
        if value:
            rule, fix = "must be 0, as no chip does it", "set it to 0"
            raise CardError(card.origin, f"settle.{field}", value, rule=rule, fix=fix)
    if settle.euler_step is None:
        rule, fix = "this substrate needs a step", "set it to 0.5"
        raise CardError(card.origin, "settle.euler_step", None, rule=rule, fix=fix)


def require_shifts(card: BackendCard) -> None:
    """Refuse steps of settling and of registers that no shift makes; the card has registers.

    Raises:
        CardError: names the field.
    """
    step, registers = card.settle.euler_step, card.registers
    if step is None or not is_power_of_two(step):
        rule, fix = "must be a power of two, as steps are shifts", "take 0.5"
        raise CardError(card.origin, "settle.euler_step", step, rule=rule, fix=fix)
    assert registers is not None  # the caller has seen them
    if registers.step_by == "weight" and not is_power_of_two(registers.step):
        rule, fix = "must be a power of two", "set registers.step_by to largest"
        raise CardError(card.origin, "registers.step", registers.step, rule=rule, fix=fix)


def require_stable(card: BackendCard, beta: Tensor) -> None:
    """Refuse strengths by which a step takes the read-out further beyond its target than it was before it.

    Raises:
        CapabilityError: names the strongest.
    """
    step = card.settle.euler_step or 1.0
    highest = 2 / step - 1
    if len(beta) and not float(beta.max()) < highest:
        rule, fix = f"must be below {highest:g} in steps of {step:g}, or the read-out swings", "take a smaller beta"
        raise CapabilityError(f"backend {card.name}", "beta", float(beta.max()), rule=rule, fix=fix)


def step_shift(card: BackendCard) -> int:
    """Binary logarithm of 1 / dt."""
    assert card.settle.euler_step is not None  # `require_fixed_steps` has seen it
    return -round(math.log2(card.settle.euler_step))


def is_power_of_two(value: float) -> bool:
    return math.frexp(value)[0] == 0.5
