"""How an FPGA computes: who learns, and the fixed-point formats of states, inputs and biases. Bits count the sign.

Formats of weights are those of `registers`; the arithmetic is that of `mep_hw.fpga.spec`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mep_hw.cards.blocks import Block


class FpgaOptions(Block):
    """Formats of a chip, and what it does by itself."""

    learning: Literal["host", "chip"] = Field(
        default="host", description="who computes updates: host, from the states that it reads, by any rule; chip, "
        "after every sample in its own arithmetic, rule hebbian only"
    )  # fmt: skip
    state_bits: int = Field(ge=4, le=27, description="bits of a unit's state, 4 to 27; the read-out saturates there")
    state_fraction: int = Field(ge=2, le=26, description="bits of them behind the binary point; those of biases, too")
    input_bits: int = Field(ge=2, le=27, description="bits of an input, 2 to 27")
    input_fraction: int = Field(ge=0, le=26, description="bits of them behind the binary point")
    bias_bits: int = Field(ge=2, le=24, description="bits of a bias, 2 to 24")
    beta_fraction: int = Field(ge=0, le=16, description="bits of the nudging strength behind the binary point")
    lanes: int | None = Field(
        default=None, ge=1, le=1024, description="weights that are read at once; null: the largest number up to 16 "
        "that divides the units of all layers but the read-out"
    )  # fmt: skip
    sum_bits: int = Field(default=48, ge=16, le=63, description="most bits of a sum, 16 to 63; a DSP48 has 48")

    @model_validator(mode="after")
    def _fractions_fit(self) -> FpgaOptions:
        for kind in ("state", "input"):
            if getattr(self, f"{kind}_fraction") >= getattr(self, f"{kind}_bits"):
                raise ValueError(f"{kind}_fraction must be below {kind}_bits, one of which is the sign")
        return self
