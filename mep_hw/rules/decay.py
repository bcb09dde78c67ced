"""Decoupled weight decay (Loshchilov and Hutter 2019, arXiv 1711.05101) for any rule: W <- (1 - lr rate) W + update."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mep_hw.outersum import OuterSum, Update
from mep_hw.ranges import NOT_NEGATIVE, require
from mep_hw.rules.base import Memory, Wrapper
from mep_hw.state import LocalStates


@dataclass(frozen=True)
class Decayed(Wrapper):
    """rate >= 0, a multiple of the learning rate. The update becomes dense; biases do not decay.

    Raises:
        InputError: a rate out of range.
    """

    rate: float = 0.0

    def __post_init__(self) -> None:
        require("weight decay", "rate", self.rate, NOT_NEGATIVE, "0 switches it off")

    @property
    def needs_weights(self) -> bool:  # type: ignore[override]
        return True

    def step(
        self,
        contrast: Update,
        memory: Memory,
        *,
        lr: float,
        weights: Tensor | None = None,
        states: LocalStates | None = None,
    ) -> tuple[Update, Memory]:
        assert weights is not None  # needs_weights
        update, memory = self.inner(contrast, memory, lr=lr, weights=weights, states=states)
        if isinstance(update, OuterSum):
            return update.add_to(weights.flatten(1), -lr * self.rate).view_as(weights), memory
        return torch.add(update, weights, alpha=-lr * self.rate), memory
