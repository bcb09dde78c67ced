"""The contract of a rule: what to change, given what was measured and what is remembered.

A rule is pure: it gets a memory and returns a new one, and it never touches the weights. That is what lets the same
rule drive a register file, an array of analog cells or a remote board, and what makes a resumed run exact.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from mep_hw.outersum import Update

Memory = dict[str, Tensor]


class Rule(ABC):
    """`needs_weights` says whether `step` wants the present weights, which some machines must pay to read."""

    name: str
    needs_weights: bool = False

    @abstractmethod
    def init(self, shape: tuple[int, ...], generator: torch.Generator, dtype: torch.dtype) -> Memory:
        """Memory before the first step, for weights of this shape and number format on the generator's device."""

    @abstractmethod
    def step(
        self, contrast: Update, memory: Memory, *, lr: float, weights: Tensor | None = None
    ) -> tuple[Update, Memory]:
        """The intended weight change and the memory for the next step.

        Args:
            contrast: approaches -dL/dW, in the shape of the weights or as an `OuterSum`.
            lr: learning rate, already scheduled.
            weights: present values, given when `needs_weights`.
        """
