"""Decoupled weight decay (Loshchilov and Hutter 2019, arXiv 1711.05101) for any rule: W <- (1 - lr rate) W + update."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mep_hw.outersum import OuterSum, Update
from mep_hw.ranges import NOT_NEGATIVE, require
from mep_hw.rules.base import Asked, Memory, Wrapper


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

    def after(self, asked: Asked, update: Update, new: Memory) -> tuple[Update, Memory]:
        weights, share = asked.weights, -asked.lr * self.rate
        assert weights is not None  # needs_weights
        if isinstance(update, OuterSum):
            return update.add_to(weights.flatten(1), share).view_as(weights), new
        return torch.add(update, weights, alpha=share), new
