"""Schedules: the ordered cycles that realise one update on one machine. Frozen, and made of numbers only.

Trains of pulses are part of the schedule and not drawn when it is executed, so that the same schedule always drives
the same lines and its pulses can be counted beforehand. Cells then answer each pulse in their own way.

Layout: weights are (out, in); inputs are on word lines, one a row of the array, and outputs on bit lines.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from mep_hw.outersum import Update


@dataclass(frozen=True)
class Registers:
    """One digital write: every weight register of the coupling gains its entry of `change`, exactly."""

    change: Update


@dataclass(frozen=True)
class Outer:
    """Cycles that pulse whole arrays at once: where a word line and a bit line fire in one slot, their cell is pulsed.

    words: (slots, in) int8, bits: (slots, out) int8; -1, 0 or 1. A pulse goes up where the signs agree, else down.
    cycles: number of outer products that the slots belong to.
    """

    words: Tensor
    bits: Tensor
    cycles: int


@dataclass(frozen=True)
class Row:
    """One cycle per word line and direction: all cells of a line get pulses of their own number at once.

    pulses: (out, in) int32, above 0 up and below 0 down.
    """

    pulses: Tensor


@dataclass(frozen=True)
class Cell:
    """Write and verify: cells off the present weight plus `change` by more than `tolerance` are pulsed and read again.

    change: (out, in), in units of the model's weight, as `tolerance`.
    iterations: most rounds of pulses and reads.
    """

    change: Tensor
    tolerance: float
    iterations: int


Cycle = Registers | Outer | Row | Cell


@dataclass(frozen=True)
class Schedule:
    """`cycles` in the order of execution; `intended` is what they are meant to add up to.

    left: what of the update they leave to later schedules, in the shape of the weights; None: nothing.
    carried: of a verified write, how much of what a weight then still misses goes into later schedules, in weight
        units; more than that is missing only where a cell cannot take it.
    """

    cycles: tuple[Cycle, ...]
    intended: Update
    left: Tensor | None = None
    carried: float = 0.0

    @property
    def verifies(self) -> bool:
        """Whether the machine reads back what it wrote, so that only then is known what is left."""
        return any(isinstance(cycle, Cell) for cycle in self.cycles)
