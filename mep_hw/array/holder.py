"""What holds the weights of one coupling in cells: the one thing that a machine of arrays knows of them.

A bank is such a holder, and so are several banks together (`Composite`), which share all that is done to each of them
by itself. Which cycles of a schedule a holder takes is its own affair; time passes in all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from operator import add

import torch
from torch import Tensor

from mep_hw.array.converters import FREE, Phase
from mep_hw.files import under
from mep_hw.schedule.cost import Cost, known_max
from mep_hw.schedule.ir import Cycle, Hold

Found = tuple[Tensor | None, Cost]  # what a `Read` found, None of other cycles, and what the cycle took


class Holder(ABC):
    """Weights (out, in) in cells, products with them, and changes to them."""

    @property
    @abstractmethod
    def weights(self) -> Tensor:
        """What the cells stand for, (out, in), without the noise of a read."""

    @property
    @abstractmethod
    def held(self) -> Tensor:
        """The weights with the gains of their drives."""

    @property
    @abstractmethod
    def counted(self) -> Tensor:
        """Pulses of each cell since it was programmed last, int64."""

    @abstractmethod
    def product(self, states: Tensor, phase: Phase = FREE) -> Tensor:
        """Drives (batch, out) from states (batch, in)."""

    @abstractmethod
    def product_transposed(self, states: Tensor, phase: Phase = FREE) -> Tensor:
        """Drives (batch, in) from states (batch, out), through the same cells."""

    @abstractmethod
    def write(self, weights: Tensor, tolerance: float, iterations: int) -> Cost:
        """Programming to `weights` (out, in) by write and verify; products see it with the wires solved anew."""

    @abstractmethod
    def takes(self) -> tuple[type, ...]:
        """The kinds of cycles that such cells can execute at all, whatever the card allows, beside `Hold`."""

    @abstractmethod
    def cycle(self, cycle: Cycle) -> Found:
        """Execute one of the kinds that it `takes`."""

    def executes(self, cycle: Cycle) -> bool:
        """Whether such cells can be written, pulsed or read so at all, whatever the card allows."""
        return isinstance(cycle, (Hold, *self.takes()))

    def execute(self, cycle: Cycle) -> Found:
        """One cycle that it `executes`."""
        if isinstance(cycle, Hold):
            self.wait(cycle.seconds, compensate=False)
            return None, replace(Cost.none(), time_s=cycle.seconds)
        return self.cycle(cycle)

    @abstractmethod
    def show(self, solve: bool = False) -> Cost:
        """Let products see what the cells hold now.

        Args:
            solve: compute the effect of wires anew, and measure the zeros of lines where the card says so at all;
                else only every `solve_every` and `calibrate_every` calls.

        Returns:
            What measuring zeros took.
        """

    @abstractmethod
    def tick(self) -> None:
        """Let the time of one weight update pass."""

    @abstractmethod
    def wait(self, seconds: float, compensate: bool) -> None:
        """Let time pass.

        Args:
            compensate: measure drives before and after, and make up for what they lost.
        """

    @abstractmethod
    def wear(self) -> float | None:
        """Wear of the most used cell, as a share of its endurance; None: the card does not know it."""

    @abstractmethod
    def wire_error(self) -> float:
        """The largest of the tiles', see `Tile.wire_error`."""

    @abstractmethod
    def snapshot(self) -> dict[str, Tensor]:
        """Everything that is needed to go on from bit for bit."""

    @abstractmethod
    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Go back to a `snapshot` of a holder that was made with the same arguments and seed."""


class Composite(Holder):
    """Several holders of one shape, by name, that hold weights together; each waits and is compensated by itself."""

    def __init__(self, parts: Mapping[str, Holder]) -> None:
        self.parts = dict(parts)

    @property
    def counted(self) -> Tensor:
        return torch.stack([part.counted for part in self.parts.values()])

    def show(self, solve: bool = False) -> Cost:
        return reduce(add, [part.show(solve) for part in self.parts.values()])

    def tick(self) -> None:
        for part in self.parts.values():
            part.tick()

    def wait(self, seconds: float, compensate: bool) -> None:
        for part in self.parts.values():
            part.wait(seconds, compensate)

    def wear(self) -> float | None:
        return known_max(part.wear() for part in self.parts.values())

    def wire_error(self) -> float:
        return max(part.wire_error() for part in self.parts.values())

    def snapshot(self) -> dict[str, Tensor]:
        parts = self.parts.items()
        return {f"{name}.{key}": value for name, part in parts for key, value in part.snapshot().items()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        for name, part in self.parts.items():
            part.restore(under(f"{name}.", tensors))
