"""Stochastic gradient descent with momentum and L2 weight decay, in the convention of torch.optim.SGD.

    m <- momentum m + (contrast - weight_decay W),   W <- W + lr m

Without momentum and decay the update keeps the factors of the contrast, so nothing dense is ever formed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mep_hw.outersum import OuterSum, Update
from mep_hw.ranges import BELOW_ONE, NOT_NEGATIVE, require
from mep_hw.rules.base import Memory, Rule
from mep_hw.state import LocalStates


@dataclass(frozen=True)
class Sgd(Rule):
    """momentum in [0, 1), weight_decay >= 0 (L2, added to the gradient).

    Raises:
        InputError: a number out of range.
    """

    momentum: float = 0.0
    weight_decay: float = 0.0
    name = "sgd"

    def __post_init__(self) -> None:
        require("rule sgd", "momentum", self.momentum, BELOW_ONE, "0.9 is usual")
        require("rule sgd", "weight_decay", self.weight_decay, NOT_NEGATIVE, "0 switches it off")

    @property
    def needs_weights(self) -> bool:  # type: ignore[override]
        return self.weight_decay > 0

    def init(self, shape: tuple[int, ...], generator: torch.Generator, dtype: torch.dtype) -> Memory:
        return {"m": torch.zeros(shape, dtype=dtype, device=generator.device)} if self.momentum else {}

    def step(
        self,
        contrast: Update,
        memory: Memory,
        *,
        lr: float,
        weights: Tensor | None = None,
        states: LocalStates | None = None,
    ) -> tuple[Update, Memory]:
        if weights is not None and self.weight_decay:
            contrast = _plus(weights * -self.weight_decay, 1.0, contrast)
        if not self.momentum:
            return contrast * lr, memory
        velocity = _plus(memory["m"], self.momentum, contrast)
        return velocity * lr, {"m": velocity}


def _plus(base: Tensor, factor: float, contrast: Update) -> Tensor:
    """factor * base + contrast."""
    return contrast.add_to(base, factor) if isinstance(contrast, OuterSum) else torch.add(contrast, base, alpha=factor)
