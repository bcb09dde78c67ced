"""The number format of weights in digital registers: whole multiples of a step, in so many bits.

Integers and fixed point are the same thing here: a step of 2^-7 with 8 bits is a fixed-point format with 7 fractional
bits, and holds -1 to 127/128.
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field
from torch import Tensor

from mep_hw.cards.blocks import Block


class RegisterFormat(Block):
    """Signed whole numbers times `step`, in two's complement."""

    bits: int = Field(ge=2, le=24, description="bits of a register with its sign, 2 to 24")
    step: float = Field(gt=0, description="weight that one unit of a register stands for, in units of step_by")
    step_by: Literal["weight", "largest"] = Field(
        default="weight", description="unit of step: weight, that of the model's weights; largest, the largest initial "
        "weight of each coupling, and then rounded up to a power of two"
    )  # fmt: skip
    rounding: Literal["nearest", "stochastic"] = Field(
        default="stochastic", description="of changes to whole steps, to the nearest one or up with the probability of "
        "the rest; what is rounded off is left to later updates"
    )  # fmt: skip

    @property
    def units(self) -> int:
        """The highest whole number of a register; the lowest is one further from 0."""
        return 2 ** (self.bits - 1) - 1

    @property
    def low(self) -> float:
        """Lowest weight."""
        return -(self.units + 1) * self.step

    @property
    def high(self) -> float:
        """Highest weight."""
        return self.units * self.step


def fitted(form: RegisterFormat, weights: Tensor, fixed: bool = False) -> RegisterFormat:
    """The same format with its step in weights of the model, for a coupling that starts with these weights.

    Weights that a machine of this kind has trained are kept as they are: where all are whole multiples of the smallest
    power of two by which the registers hold them, that is the step.

    Args:
        fixed: the weights are never changed, so that no room is needed for more than them.
    """
    if form.step_by == "weight":
        return form
    size = float(weights.abs().max())
    if size == 0 or not math.isfinite(size):
        size = 1.0  # a coupling of zeros has no size of its own, nor has one that no register can hold
    closest = _power_of_two(size / (form.units + 1))
    if float(weights.max()) > form.units * closest:
        closest *= 2
    trained = bool((weights / closest == (weights / closest).round()).all())
    step = closest if trained or fixed else _power_of_two(form.step * size)
    return form.model_copy(update={"step": step, "step_by": "weight"})


def _power_of_two(least: float) -> float:
    """The smallest power of two that is not below `least` > 0."""
    return 2.0 ** math.ceil(math.log2(least))
