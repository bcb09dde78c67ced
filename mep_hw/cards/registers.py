"""The number format of weights in digital registers: whole multiples of a step, in so many bits.

Integers and fixed point are the same thing here: a step of 2^-7 with 8 bits is a fixed-point format with 7 fractional
bits, and holds -1 to 127/128.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mep_hw.cards.blocks import Block


class RegisterFormat(Block):
    """Signed whole numbers times `step`, in two's complement."""

    bits: int = Field(ge=2, le=24, description="bits of a register with its sign, 2 to 24")
    step: float = Field(gt=0, description="weight that one unit of a register stands for, in weight units")
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
