"""How a Loihi computes: which simulation of it runs, and the whole-number formats of states and of what is sent.

Weights have 8 bits with their sign, as `registers` of the card say; the formats of units are those of our own unit
model, as Loihi 2 runs microcode there and has no box unit of its own. Bits count the sign.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from mep_hw.cards.blocks import Block

Mode = Literal["emulator", "lava-fixed", "lava-float", "lava-learn", "hardware"]


class LoihiOptions(Block):
    """Formats of units, and what runs them."""

    mode: Mode = Field(
        description="what runs the model: emulator, our own whole-number arithmetic; lava-fixed, lava-float: Lava's "
        "simulation in whole or in floating-point numbers; lava-learn: weights change inside of Lava's engine, one "
        "connection only (mep-hw loihi learn); hardware: a chip"
    )
    batched: bool = Field(
        default=True, description="of Lava's simulation: true, our connections that carry a whole batch; false, Lava's "
        "own Dense, one sample after the other"
    )  # fmt: skip
    timeout_s: float = Field(
        default=600.0, gt=0, le=1e6, description="longest time for one phase of Lava's simulation, seconds"
    )
    state_bits: int = Field(ge=8, le=24, description="bits of a unit's state, 8 to 24; states saturate there")
    state_fraction: int = Field(ge=2, le=22, description="bits of them behind the binary point")
    payload_bits: int = Field(ge=2, le=24, description="bits of what a unit sends, 2 to 24; it saturates there")
    payload_fraction: int = Field(ge=0, le=24, description="bits of them behind the binary point")
    send_threshold: int = Field(
        default=0, ge=0, le=2**24, description="a unit sends when its payload has changed by so many units of the "
        "payload, and then the difference; 0: all units send their payloads in every step"
    )  # fmt: skip
    beta_fraction: int = Field(ge=0, le=16, description="bits of the nudging strength behind the binary point")
    curve_bits: int = Field(
        ge=2, le=12, description="binary logarithm of half the number of straight pieces of a smooth unit's table"
    )

    @model_validator(mode="after")
    def _fractions_fit(self) -> LoihiOptions:
        for kind in ("state", "payload"):
            if getattr(self, f"{kind}_fraction") >= getattr(self, f"{kind}_bits"):
                raise ValueError(f"{kind}_fraction must be below {kind}_bits, one of which is the sign")
        if self.payload_fraction > self.state_fraction:
            raise ValueError("payload_fraction must be at most state_fraction, as what is sent is a rounded state")
        return self
