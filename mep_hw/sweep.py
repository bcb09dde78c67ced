"""One Gauss-Seidel sweep over the layers of one phase, and the products it is made of.

Forward order in the free phase, output to input in the nudged one. The first nudged sweep starts from a free state
whose products from below are still valid and does not compute them again.

Over-relaxation (Young 1954; with bounds Cryer 1971): a visit of the free phase goes `over` times the way to the layer's
minimiser. A layer's energy is a parabola along that way where its units are boxes or linear, so for `over` below 2 it
falls with every visit all the same; sigmoid and tanh are kept within their range, and there it is only close to the
settled state that this holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from mep_hw.model import Model
from mep_hw.state import State

NOTHING = torch.empty(0)  # where a phase has not been yet


class Coupled(Protocol):
    """The products a substrate has to offer; both directions go through the same stored weights."""

    biases: list[Tensor | None]

    def couple(self, c: int, source: Tensor, add: Tensor | None) -> Tensor:
        """Phi_c(source) + add."""
        ...

    def couple_back(self, c: int, target: Tensor, source: Tensor, add: Tensor | None) -> Tensor:
        """Phi_c^T(target) + add; `source` gives the shape, and with max pooling the argmax."""
        ...


class Sweeper:
    """One phase's fixed quantities, and the sweep that uses them.

    Nudged copies of a batch may share what they start from: `static`, `below` and the state given to the first sweep
    then hold the batch once. Each copy of it would be written and read again by every pass through the caches.
    """

    def __init__(
        self,
        model: Model,
        substrate: Coupled,
        static: list[Tensor | None],
        rows: int,
        beta: Tensor | None = None,
        target: Tensor | None = None,
        below: State | None = None,
        over: float = 1.0,
    ) -> None:
        self.model, self.substrate, self.rows = model, substrate, rows
        self.static, self.beta, self.target, self.start_below = list(static), beta, target, below
        self.over = over
        self.nudged = beta is not None
        self.below: list[Tensor] = [NOTHING] * model.depth
        self.output = NOTHING
        self.silent = not (model.loss.in_energy or self.nudged)  # the read-out sends nothing back
        self.inner = [[c for c in group if model.couplings[c].source > 0] for group in model.incoming]

    def feed_forward(self) -> State:
        state: State = []
        for layer in range(1, self.model.depth + 1):
            self._visit(state, layer, feedback=False)
        return state

    def sweep(self, state: State) -> None:
        """Replace every entry of `state`; entries are new tensors, so the old ones stay valid."""
        if not self.nudged:
            for layer in range(1, self.model.depth + 1):
                self._visit(state, layer)
            return
        for layer in range(self.model.depth, 0, -1):
            self._visit(state, layer, None if self.start_below is None else self.start_below[layer - 1])
        self.start_below = None

    def _visit(self, state: State, layer: int, below: Tensor | None = None, feedback: bool = True) -> None:
        model, substrate = self.model, self.substrate
        fixed = self.static[layer - 1]
        if below is None:
            below = fixed
            for c in self.inner[layer]:
                below = self._plus(layer, below, substrate.couple, c, state[model.couplings[c].source - 1])
        assert below is not None  # every layer has an incoming coupling
        drive = below
        if feedback:
            for c in model.outgoing[layer]:
                above = model.couplings[c].target
                if not (self.silent and above == model.depth):
                    ends = state[above - 1], self._shaped(state[layer - 1])
                    drive = self._plus(layer, drive, substrate.couple_back, c, *ends)
        self.below[layer - 1] = below
        activation = model.layers[layer - 1].activation
        further = self.over != 1 and layer <= len(state)  # the feed-forward pass comes from nowhere
        if activation is None:
            if drive.shape[0] < self.rows:
                drive = torch.cat([drive] * (self.rows // drive.shape[0]))
            value = model.loss.signal(drive, self.beta, self.target)
            if further and model.loss.in_energy:
                value = state[layer - 1].lerp(value, self.over)
            self.output = value if model.loss.in_energy else drive
        else:
            value = activation.rho(drive) if drive is below else activation.rho_(drive)
            if further:
                value.lerp_(state[layer - 1], 1 - self.over).clamp_(activation.low, activation.high)
        if layer > len(state):
            state.append(value)
        else:
            state[layer - 1] = value

    def _plus(self, layer: int, add: Tensor | None, product: Callable[..., Tensor], *ends: Any) -> Tensor:
        """product(*ends) + add, where `add` may hold one batch that all copies share."""
        if add is None or add.shape[0] == self.rows or add.dim() == len(self.model.layers[layer - 1].shape):
            return product(*ends, add)
        whole = product(*ends, None)
        whole.view(-1, *add.shape).add_(add)
        return whole

    def _shaped(self, value: Tensor) -> Tensor:
        """`value`, or where it holds one batch that all copies share, something in their shape that takes no memory."""
        return value if value.shape[0] == self.rows else value[:1].expand(self.rows, *value.shape[1:])

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only."""
        for c in self.model.outgoing[0]:  # the other layers hold a bias there, which has no rows
            layer = self.model.couplings[c].target - 1
            value = self.static[layer]
            self.static[layer] = None if value is None else value[rows]
        if self.beta is not None and self.target is not None:
            self.beta, self.target = self.beta[rows], self.target[rows]
        self.rows = len(rows)
