"""Schedules: the ordered cycles that realise one update on one machine. Frozen, and made of numbers only.

Trains of pulses are part of the schedule and not drawn when it is executed, so that the same schedule always drives
the same lines and its pulses can be counted beforehand. Cells then answer each pulse in their own way.

An entry of a schedule holds all cycles of its kind that follow each other, because machines execute them together.
Layout: weights are (out, in), convolutions as (out, in * k * k); inputs are on word lines, one a row of the array, and
outputs on bit lines. A coupling over several arrays has its lines in all of them, and its arrays work at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from torch import Tensor

from mep_hw.outersum import Update

Along = Literal["words", "bits"]  # the lines that row writes select one after the other


@dataclass(frozen=True)
class Registers:
    """One digital write: every weight register of the coupling gains its entry of `change`, exactly."""

    change: Update


@dataclass(frozen=True)
class Outer:
    """Cycles that pulse whole arrays at once: where a word line and a bit line fire in one slot, their cell is pulsed.

    words: (slots, in) int8, bits: (slots, out) int8; -1, 0 or 1. A pulse goes up where the signs agree, else down.
    lengths: slots of each cycle, which is one outer product; their sum is `slots`.
    """

    words: Tensor
    bits: Tensor
    lengths: tuple[int, ...]

    @cached_property
    def polarities(self) -> tuple[int, int]:
        """How many signs occur on word lines and on bit lines, each 0, 1 or 2: a slot is executed once for every pair
        of them, as the lines of a phase have one polarity."""
        word, bit = (
            sum(bool(trains.numel()) and bool((trains == sign).any()) for sign in (1, -1))
            for trains in (self.words, self.bits)
        )
        return word, bit


@dataclass(frozen=True)
class Row:
    """One cycle per line and direction: all cells of a line get pulses of their own number at once.

    pulses: (out, in) int32, above 0 up and below 0 down.
    along: the lines that are selected one after the other, of all arrays at once.
    """

    pulses: Tensor
    along: Along = "words"


@dataclass(frozen=True)
class Cell:
    """Write and verify: cells off the present weight plus `change` by more than `tolerance` are pulsed and read again.

    Word lines come one after the other, and each is read and pulsed until its cells are right.

    change: (out, in), in units of the model's weight, as `tolerance`.
    iterations: most rounds of pulses and reads.
    """

    change: Tensor
    tolerance: float
    iterations: int


@dataclass(frozen=True)
class Refresh:
    """Write and verify of the weights that the cells hold by a read, which gives both cells of a pair room again.

    tolerance, iterations: as of `Cell`.
    """

    tolerance: float
    iterations: int


@dataclass(frozen=True)
class Read:
    """Weights are read back, see `Substrate.found`.

    basis: (out, k), orthonormal columns: only basis^T W is read, by k transposed products; None: every word line.
    reads: that are averaged.
    """

    basis: Tensor | None
    reads: int


@dataclass(frozen=True)
class Transfer:
    """What the next word lines of a fast array hold is read, and written into the slow array by row writes.

    lines: how many, one after the other; which ones come next only the machine knows.
    """

    lines: int


@dataclass(frozen=True)
class Hold:
    """Nothing is driven for so many seconds, as cells relax after pulses."""

    seconds: float


Cycle = Registers | Outer | Row | Cell | Refresh | Read | Transfer | Hold


@dataclass(frozen=True)
class Schedule:
    """`cycles` in the order of execution; `intended` is what they are meant to add up to.

    left: what of the update they leave to later schedules, in the shape of the weights; None: nothing.
    carried: of a verified write, how much of what a weight then still misses goes into later schedules, in weight
        units; more than that is missing only where a cell cannot take it.
    """

    cycles: tuple[Cycle, ...]
    intended: Update
    left: Update | None = None
    carried: float = 0.0

    @property
    def verifies(self) -> bool:
        """Whether cells are read while they are written, so that only then is known what is left."""
        return any(isinstance(cycle, Cell) for cycle in self.cycles)
