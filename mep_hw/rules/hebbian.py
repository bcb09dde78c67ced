"""The purely local rule: every sample's two outer products are applied as they are, and nothing is summed on the host.

    update = lr sum_k post_k pre_k^T over the samples of both phases

On a digital machine that is a register write whose factors are added one after the other, so it equals plain SGD; a
machine whose cells saturate or round sees every product by itself. Without momentum, decay or any memory: a rule with
a memory is not local in time. Convolutions share weights between positions, which is not local in space: refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mep_hw.errors import CapabilityError
from mep_hw.outersum import OuterSum, Update
from mep_hw.rules.base import Memory, Rule
from mep_hw.state import LocalStates


@dataclass(frozen=True)
class Hebbian(Rule):
    """No parameters; the learning rate is the whole rule."""

    name = "hebbian"
    local = True

    def init(self, shape: tuple[int, ...], generator: torch.Generator, dtype: torch.dtype) -> Memory:
        if len(shape) > 2:
            raise CapabilityError(
                "rule hebbian", "weights", shape, rule="cannot train a convolution, whose weights are shared",
                fix="use rule sgd, or dense layers",
            )  # fmt: skip
        return {}

    def step(
        self,
        contrast: Update,
        memory: Memory,
        *,
        lr: float,
        weights: Tensor | None = None,
        states: LocalStates | None = None,
    ) -> tuple[Update, Memory]:
        assert isinstance(contrast, OuterSum) or contrast.dim() == 1  # dense couplings, or a bias
        return contrast * lr, memory
