"""A model on the emulator: its whole-number weights in the scales of both directions, and the drives they give."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mep_hw.loihi import emulator
from mep_hw.loihi.emulator import Arithmetic, Unit
from mep_hw.loihi.events import Lines
from mep_hw.loihi.formats import Scales
from mep_hw.loihi.network import Population
from mep_hw.model import Model
from mep_hw.state import State, copies


class Emulated:
    """The chip in this process.

    Args:
        weights: even whole numbers of every coupling, in its own shape.
    """

    def __init__(
        self, model: Model, units: Sequence[Population], weights: Sequence[Tensor], scales: Scales, numbers: Arithmetic
    ) -> None:
        self.model, self.scales = model, scales
        self.units = [Unit(unit, layer.shape, numbers) for unit, layer in zip(units, model.layers, strict=True)]
        self.weights = [self._scaled(c, even) for c, even in enumerate(weights)]

    def load(self, coupling: int, even: Tensor) -> None:
        """Take other weights of one coupling."""
        self.weights[coupling] = self._scaled(coupling, even)

    def hold(self, layer: int, bias: Tensor) -> None:
        """Take other biases of a layer (from 1), (*shape) in the state format."""
        self.units[layer - 1].hold(bias)

    def feed(self, sent: Tensor) -> list[Tensor]:
        """What the input gives to each layer, (batch, *shape), or one row of zeros."""
        fed = [torch.zeros(1, *layer.shape, dtype=torch.float64) for layer in self.model.layers]
        for c in self.model.outgoing[0]:
            coupling = self.model.couplings[c]
            fed[coupling.target - 1] = coupling.forward(sent, self.weights[c][0], fed[coupling.target - 1])
        return fed

    def run(
        self, fed: list[Tensor], start: State, beta: Tensor | None, target: Tensor | None, steps: int,
        watch: Callable[[State], None] | None, lines: Lines | None = None,
    ) -> tuple[State, State]:  # fmt: skip
        """One phase of rows, which are copies of what was fed, see `mep_hw.loihi.emulator.run`; through `lines`, or
        where there are none all units send in every step."""
        rows = len(start[0])
        static = [value if len(value) == 1 else copies(value, rows) for value in fed]
        column = None if beta is None else beta[:, None]
        couple = self._couple if lines is None else lines.over(self._couple)
        return emulator.run(self.units, couple, static, start, column, target, steps, watch)

    def close(self) -> None:
        """Nothing is held."""

    def _scaled(self, c: int, even: Tensor) -> tuple[Tensor, Tensor]:
        return even * 2.0 ** self.scales.forward[c], even * 2.0 ** self.scales.backward[c]

    def _couple(self, sent: list[Tensor], static: list[Tensor]) -> list[Tensor]:
        """The drives of all layers when they send this, with what they get besides."""
        drives: list[Tensor] = []
        for layer, drive in enumerate(static, start=1):
            for c in self.model.incoming[layer]:
                coupling = self.model.couplings[c]
                if coupling.source:
                    drive = coupling.forward(sent[coupling.source - 1], self.weights[c][0], drive)
            for c in self.model.outgoing[layer]:
                coupling = self.model.couplings[c]
                drive = coupling.backward(sent[coupling.target - 1], self.weights[c][1], sent[layer - 1], drive)
            drives.append(drive if drive is not static[layer - 1] else drive.clone())
        return drives
