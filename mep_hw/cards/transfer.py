"""The `transfer` block of an array: outer products go to a fast array and move on to the slow one line by line.

The equations are in `mep_hw.array.transfer`. Not valid together with options that look after weights in another way:
see `mep_hw.cards.array` for those that are refused.
"""

from __future__ import annotations

from pydantic import Field

from mep_hw.cards.blocks import Block


class TransferOptions(Block):
    """When, how much and how often word lines of the fast array are transferred."""

    every: int = Field(default=1, ge=1, description="weight changes after which word lines are transferred")
    lines: int = Field(
        default=1, ge=1, description="word lines that are then transferred, in turn; all where a coupling has fewer"
    )
    reads: int = Field(default=1, ge=1, description="reads of a line that are averaged for its transfer")
    gain: float = Field(default=0.1, gt=0, description="share of what a line holds that its transfer writes")
    gamma: float = Field(
        default=0.0, ge=0, description="weight of the fast array in products, beside the slow one's 1; 0: hidden"
    )
    chop: float = Field(
        default=0.0, ge=0, le=1, description="probability that the sign in which a line is held flips after its "
        "transfer, so that what is wrong with its zero cancels; 0: off"
    )  # fmt: skip
    buffer: float | None = Field(
        default=None, gt=0, description="pulses that a digital buffer collects per pulse that it passes on, so that "
        "nothing is rounded; null: no buffer, and pulses are drawn"
    )  # fmt: skip
    pairs: int = Field(
        default=2000, ge=0, description="up and down pulses, alternating, by which programming finds the symmetry "
        "point of each fast cell, its zero from then on; 0: the zero is the middle of the range"
    )  # fmt: skip
