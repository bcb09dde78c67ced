"""Gradient clipping for any rule: a contrast longer than `limit` (Frobenius norm) is shortened to it.

Each coupling is clipped by itself, because no layer of a machine knows the contrasts of the others. Pointless before a
rule whose update does not depend on the size of the contrast, except for what it keeps in its momentum.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mep_hw.outersum import OuterSum, Update
from mep_hw.ranges import POSITIVE, require
from mep_hw.rules.base import Memory, Rule, Wrapper
from mep_hw.state import LocalStates


@dataclass(frozen=True)
class Clipped(Wrapper):
    """limit > 0, in units of the contrast.

    Raises:
        InputError: a limit out of range.
    """

    limit: float = 1.0

    def __post_init__(self) -> None:
        require("clipping", "limit", self.limit, POSITIVE, "give the length that contrasts usually have")

    def step(
        self,
        contrast: Update,
        memory: Memory,
        *,
        lr: float,
        weights: Tensor | None = None,
        states: LocalStates | None = None,
    ) -> tuple[Update, Memory]:
        # In float64: the squares of large float32 entries overflow, and a contrast would be shortened to nothing.
        size = float(contrast.norm() if isinstance(contrast, OuterSum) else contrast.norm(dtype=torch.float64))
        if size > self.limit:
            contrast = contrast * (self.limit / size)
        return self.inner(contrast, memory, lr=lr, weights=weights, states=states)

    def for_biases(self) -> Rule:
        return Clipped(self.rule.for_biases(), self.limit)
