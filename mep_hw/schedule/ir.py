"""Schedules: the ordered cycles that realise one update on one machine. Frozen, and made of numbers only."""

from __future__ import annotations

from dataclasses import dataclass

from mep_hw.outersum import Update


@dataclass(frozen=True)
class Registers:
    """One digital write: every weight register of the coupling gains its entry of `change`, exactly."""

    change: Update


Cycle = Registers


@dataclass(frozen=True)
class Schedule:
    """`cycles` in the order of execution; `intended` is what they are meant to add up to."""

    cycles: tuple[Cycle, ...]
    intended: Update
