"""Contrasts of a `mep_hw.Model`: its own Hopfield energy, settled by the cpu machine in the format of its weights.

An estimator settles all its phases itself. Its free phase sets out from that of the forward call and is through after
one sweep, unless somebody changed weights in between, which then costs sweeps and no accuracy.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from mep_hw import estimator, forward
from mep_hw.data import one_hot
from mep_hw.errors import DataError, InputError
from mep_hw.model import Model
from mep_hw.optimizers.options import WHERE, Nudging
from mep_hw.outersum import Update
from mep_hw.state import Settled


class HopfieldSource:
    """Listens to `model`, whose weights and biases the optimizer changes in place."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.x: Tensor | None = None
        self.free: Settled | None = None  # of the last forward call
        model.listeners.append(self._hear)

    def contrasts(self, target: Tensor, how: Nudging, wanted: Collection[Tensor]) -> dict[Tensor, Update]:
        if self.x is None:
            raise InputError(WHERE, rule="has no free phase yet", fix="call model(x) before step(target=...)")
        model = self.model
        if how.loss not in (None, model.loss.name):
            rule = f"is not the {model.loss.name} that the model was built with"
            raise InputError(WHERE, "loss", how.loss, rule=rule, fix="leave it out")
        y = self._target(target, len(self.x))
        with forward.machine_for(model, how.settle_steps, how.tolerance) as machine:
            inputs, y = machine.tensor(self.x), machine.tensor(y)
            found = estimator.make(how.estimator, how.beta).total(machine, inputs, y, self.free)
        pairs = [*zip(model.weights, found.weights, strict=True), *zip(model.biases, found.biases, strict=True)]
        asked = {id(p) for p in wanted}
        return {p: value for p, value in pairs if p is not None and value is not None and id(p) in asked}

    def forget(self) -> None:
        self.x = self.free = None

    def close(self) -> None:
        self.model.listeners.remove(self._hear)

    def order(self) -> list[Tensor]:
        return self.model.parameters()

    def _hear(self, inputs: Tensor, free: Settled) -> None:
        state = [value.clone() for value in free.state]  # the caller may change the read-out in place
        self.x, self.free = inputs.clone(), free.bare(state)

    def _target(self, target: Tensor, batch: int) -> Tensor:
        """(batch, outputs), floating."""
        if target.dtype == torch.bool or target.is_complex():
            rule = "must be integer labels or floating values"
            raise DataError("target", "dtype", target.dtype, rule=rule, fix="use target.long() or target.float()")
        outputs = self.model.outputs
        shape = (batch, outputs) if target.is_floating_point() else (batch,)
        if target.shape != shape:
            rule = f"must be {shape} for {target.dtype}, as the last model(x) asks"
            raise DataError("target", "shape", tuple(target.shape), rule=rule, fix="reshape the target")
        return target if target.is_floating_point() else one_hot(target, outputs)
