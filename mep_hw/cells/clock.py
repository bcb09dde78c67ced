"""The clock of an array: when each cell was last written, what it held then, and how it drifts and is read since.

Every write starts a cell's drift anew, as it does in phase-change cells (Nandakumar et al., J. Appl. Phys. 124, 152135,
2018). Nothing is kept or drawn for a card without a law of time.

Not valid for the history before the last write: a cell forgets that it had drifted.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mep_hw.cards.physics import Leak, LogTime, Nothing, OneOverF, PowerLaw
from mep_hw.cards.schema import DeviceCard
from mep_hw.cells.laws import drifted, fate, read_deviation
from mep_hw.cells.pulses import normal_like
from mep_hw.errors import CapabilityError, ScheduleError


class Clock:
    """Age (s), weight at the last write, and the numbers drawn for drift; each (cells,)."""

    def __init__(self, card: DeviceCard, stored: Tensor, generator: torch.Generator) -> None:
        self.card, self.generator = card, generator
        self.law = card.retention
        self.read_noise = None if card.noise is None else card.noise.read
        self.age, self.written, self.fate = torch.zeros_like(stored), stored.clone(), torch.zeros_like(stored)
        if isinstance(self.law, Leak):
            spread = self.law.lifetime_spread.value
            self.fate = self.law.lifetime.value * (1 + spread * normal_like(stored, generator))
        self.leaks = isinstance(self.law, Leak)
        self.drifts = isinstance(self.law, PowerLaw | LogTime)
        self.notices = self.drifts or isinstance(self.read_noise, OneOverF)  # when a cell is written
        self.low = 0.0 if card.w_min.value is None else card.w_min.value
        self.width = torch.inf if card.w_max.value is None else card.w_max.value - self.low

    def wrote(self, touched: Tensor, stored: Tensor, aimed: Tensor) -> None:
        """The cells `touched` (bool) were written and hold `stored`; drift goes by what they were meant to hold."""
        if self.notices:
            self.age = self.age.masked_fill(touched, 0)
            self.written = torch.where(touched, stored, self.written)
        if self.drifts:
            self.fate = torch.where(touched, fate(self.law, self._share(aimed), self.generator), self.fate)

    def wait(self, stored: Tensor, seconds: float) -> Tensor:
        """What the cells hold after `seconds`."""
        if not 0 <= seconds < float("inf"):
            raise ScheduleError(
                "cells", "seconds", seconds, rule="must be a time, 0 or above", fix="give a time to wait"
            )
        law = self.law
        if isinstance(law, PowerLaw | LogTime):
            share = drifted(law, self._share(stored), self.age, seconds, self.fate)
            stored = (self.low + self.width * share).clamp(min=self.low)
        elif not isinstance(law, Nothing):
            raise CapabilityError(
                f"device {self.card.name}", "retention.law", law.law,
                rule="does not say what a time in seconds does", fix="use a device with a law of time",
            )  # fmt: skip
        self.age = self.age + seconds
        return stored

    def tick(self, stored: Tensor, updates: int) -> Tensor:
        """What the cells hold after the time of `updates` updates."""
        if not isinstance(self.law, Leak):
            return stored
        return stored * (1 - 1 / self.fate.clamp(min=1)) ** updates

    def read(self, visible: Tensor) -> Tensor:
        """`visible` weights with the noise of one read."""
        if self.read_noise is None:
            return visible
        deviation = read_deviation(self.read_noise, self._share(visible), self._share(self.written), self.age)
        return visible if deviation is None else visible + self.width * deviation * normal_like(visible, self.generator)

    def tensors(self) -> dict[str, Tensor]:
        """The state, by name."""
        return {"age": self.age, "written": self.written, "fate": self.fate}

    def _share(self, weight: Tensor) -> Tensor:
        return (weight - self.low) / self.width
