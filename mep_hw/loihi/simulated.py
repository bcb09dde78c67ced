"""A model in Lava's simulation: populations and plain matrices for the worker, in whole or in floating-point numbers.

Convolutions and links between layers become the matrices that they are; the memory that this takes is the matrix's.
Average pooling would need fractions of a weight, so in whole numbers it is left to the emulator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from mep_hw.coupling import Coupling, Dense
from mep_hw.errors import CapabilityError
from mep_hw.loihi.formats import Scales
from mep_hw.loihi.lava import Lava
from mep_hw.loihi.network import Array, Connection, Network, Phase
from mep_hw.model import Model
from mep_hw.state import State, copies


class Simulated:
    """The chip in Lava's worker.

    Args:
        network: its numbers, with populations and without connections.
        weights: of every coupling, in its own shape, even whole numbers in fixed point.
        scales: of fixed point; None: none are needed.

    Raises:
        CapabilityError: average pooling in fixed point.
    """

    def __init__(
        self, model: Model, network: Network, weights: Sequence[Tensor], scales: Scales | None, lava: Lava, name: str
    ) -> None:
        for coupling in model.couplings:
            if network.fixed and (coupling.before or coupling.after):
                rule, fix = "pools, which needs fractions of a weight", "set loihi.mode to emulator"
                raise CapabilityError(f"backend {name}", f"coupling {coupling.name}", rule=rule, fix=fix)
        self.model, self.lava, self.network, self.scales = model, lava, network, scales
        self.weights = list(weights)
        self.loaded = False

    def load(self, coupling: int, weights: Tensor) -> None:
        """Take other weights of one coupling."""
        self.weights[coupling] = weights
        self.loaded = False

    def hold(self, layer: int, bias: Tensor) -> None:
        """Take other biases of a layer (from 1), (*shape)."""
        units = list(self.network.populations)
        units[layer - 1] = replace(units[layer - 1], bias=self._numbers(bias.reshape(-1)))
        self.network = replace(self.network, populations=tuple(units))

    def feed(self, sent: Tensor) -> list[Tensor]:
        return [sent]

    def run(
        self, fed: list[Tensor], start: State, beta: Tensor | None, target: Tensor | None, steps: int,
        watch: Callable[[State], None] | None,
    ) -> tuple[State, State]:  # fmt: skip
        """One phase of rows, which are copies of what was fed; nobody can watch its steps.

        Raises:
            MachineError: the worker failed.
        """
        if not self.loaded:
            self.network, self.loaded = replace(self.network, connections=self._connections()), True
        rows, (sent,) = len(start[0]), fed
        if not rows:  # no phase of Lava has none
            return list(start), list(start)
        outputs = self.model.outputs
        phase = Phase(
            self._numbers(copies(sent.flatten(1), rows)),
            tuple(self._numbers(value.flatten(1)) for value in start),
            self._numbers(torch.zeros(rows, dtype=torch.float64) if beta is None else beta),
            self._numbers(torch.zeros(rows, outputs, dtype=torch.float64) if target is None else target),
            steps,
        )
        found = self.lava.settle(self.network, phase)
        return self._tensors(found.state), self._tensors(found.earlier)

    def close(self) -> None:
        self.lava.close()

    def _connections(self) -> tuple[Connection, ...]:
        made: list[Connection] = []
        for c, (coupling, weights) in enumerate(zip(self.model.couplings, self.weights, strict=True)):
            matrix = self._numbers(unrolled(coupling, weights))
            forward = 0 if self.scales is None else self.scales.forward[c]
            made.append(Connection(coupling.source, coupling.target, matrix, forward))
            if coupling.source:
                backward = 0 if self.scales is None else self.scales.backward[c]
                made.append(Connection(coupling.target, coupling.source, np.ascontiguousarray(matrix.T), backward))
        return tuple(made)

    def _numbers(self, values: Tensor) -> Array:
        plain = values.detach().to("cpu", torch.float64).numpy()
        return plain.astype(np.int64) if self.network.fixed else plain

    def _tensors(self, arrays: Sequence[Array]) -> State:
        pairs = zip(arrays, self.model.layers, strict=True)
        return [torch.from_numpy(value.astype(np.float64)).unflatten(1, layer.shape) for value, layer in pairs]


def unrolled(coupling: Coupling, weights: Tensor) -> Tensor:
    """The matrix (target units, source units) of a coupling without max pooling, float64."""
    exact = weights.to(torch.float64)
    if isinstance(coupling.operator, Dense) and not (coupling.before or coupling.after):
        return exact
    units = torch.Size(coupling.source_shape).numel()
    basis = torch.eye(units, dtype=torch.float64).view(units, *coupling.source_shape)
    return coupling.forward(basis, exact).flatten(1).T.contiguous()
