"""A substrate that passes everything on to another one and watches what it settles.

It answers two questions about phases that an estimator keeps to itself: how well did they settle, and did every sample
stay on one smooth piece of the energy, with the same units saturated and the same max-pool winners? Two states on one
piece at both ends can still have left it in between; with the small nudges this is meant for, they have not.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from mep_hw.activation import Box
from mep_hw.coupling import Pool
from mep_hw.schedule import Cost, Schedule
from mep_hw.state import Nudge, Settled, State
from mep_hw.substrates.base import Substrate


class Witness(Substrate):
    """Wraps `inner`, with which it shares biases and random numbers.

    residual: the largest that a phase ended with, in state units; calls capped by their nudge do not count.
    same: (batch,) whether the sample's nudged phases were on the piece of its last free phase. Watched only for models
        with max pooling, where it matters most; True for all others.
    """

    def __init__(self, inner: Substrate) -> None:
        self.own_blocks = inner.own_blocks
        super().__init__(inner.model, inner.backend, inner.device, seed=0)
        self.inner, self.biases, self.generator = inner, inner.biases, inner.generator
        self.piecewise = any(k.routes_by_argmax and k.source > 0 for k in inner.model.couplings)
        self.residual, self.same = 0.0, torch.ones(1, dtype=torch.bool)
        self.piece = torch.empty(0)

    def settle(self, inputs: Tensor, nudge: Nudge | None = None, start: Settled | None = None) -> Settled:
        settled = self.inner.settle(inputs, nudge, start)
        if nudge is None or nudge.sweeps is None:
            self.residual = max(self.residual, float(settled.residual.max()))
        if nudge is None:
            self.same = torch.ones(len(inputs), dtype=torch.bool, device=inputs.device)
        if self.piecewise:
            piece = self._piece(settled.state)
            if nudge is None:
                self.piece = piece
            self.same &= (piece.reshape(-1, *self.piece.shape) == self.piece).all(2).all(0)
        return settled

    def apply(self, coupling: int, schedule: Schedule) -> Cost:
        return self.inner.apply(coupling, schedule)

    def read(self, coupling: int) -> Tensor:
        return self.inner.read(coupling)

    def _piece(self, state: State) -> Tensor:
        """Codes (rows, n) that are equal for two states on the same smooth piece."""
        codes: list[Tensor] = []
        for layer, value in zip(self.model.layers, state, strict=True):
            if isinstance(layer.activation, Box):
                codes.append((value >= layer.activation.high).long() - (value <= layer.activation.low).long())
        for c, coupling in enumerate(self.model.couplings):
            if coupling.source > 0 and coupling.routes_by_argmax:  # a pool over the input never changes its winners
                source = state[coupling.source - 1]
                codes += _winners(coupling.before, source)
                for pool in coupling.before:
                    source = pool.forward(source)
                codes += _winners(coupling.after, coupling.operator.forward(source, self.read(c), None))
        return torch.cat([code.flatten(1) for code in codes], 1)


def _winners(pools: tuple[Pool, ...], value: Tensor) -> Iterator[Tensor]:
    """The index that each window of each max pool selects, pool after pool."""
    for pool in pools:
        if pool.kind == "max":
            yield F.max_pool2d(value, pool.size, pool.stride, pool.padding, return_indices=True)[1]
        value = pool.forward(value)
