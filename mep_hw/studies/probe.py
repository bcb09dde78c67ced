"""What a rule does to the layers of a model while it trains: measured from outside, on a fixed batch of samples.

Per coupling and probe: the norm of the machine's contrast over that of the exact gradient (below 1 where truncated
settling loses signal on its way to the early layers) and their cosine; the change of the weights in the last step over
their size; and the largest, median and smallest singular value of the weights.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor

from mep_hw.cards import BackendCard
from mep_hw.data import Data
from mep_hw.gradcheck import gradient_check
from mep_hw.model import Model
from mep_hw.training.loop import StepInfo


class Probe:
    """An `on_step` for `train`, which records `rows` after each step in `steps` (counted over the run, from 1)."""

    def __init__(self, model: Model, card: BackendCard, beta: float, data: Data, steps: Collection[int]) -> None:
        self.model, self.card, self.beta, self.data, self.steps = model, card, beta, data, steps
        self.rows: list[dict[str, Any]] = []
        self._before: list[Tensor] = []

    def __call__(self, info: StepInfo) -> None:
        step = (info.epoch - 1) * info.steps + info.step
        if step in self.steps and self._before:
            info.machine.store()
            self._record(step)
        if step + 1 in self.steps:
            self._before = [info.machine.read(c) for c in self.model.trainable]

    def _record(self, step: int) -> None:
        report = gradient_check(self.model, self.data, backend=self.card, beta=self.beta, as_trained=True)
        found = {layer.name: layer for layer in report.layers}
        for c, old in zip(self.model.trainable, self._before, strict=True):
            now, name = self.model.weights[c], self.model.couplings[c].name
            values = torch.linalg.svdvals(now.flatten(1))
            layer = found[f"weights {name}"]
            self.rows.append({
                "step": step, "coupling": name, "cosine": layer.cosine, "norm_ratio": layer.norm_ratio,
                "relative_change": float((now - old).norm() / old.norm()), "largest": float(values[0]),
                "median": float(values.median()), "smallest": float(values[-1]),
            })  # fmt: skip
