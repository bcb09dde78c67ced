"""The blocks evaluated one at a time, each from an input of its own, so that no graph reaches across blocks.

Every block's input is a detached leaf. What one evaluation keeps is therefore local: it answers J^T e for the state
below and for the block's own parameters, and nothing else. The input x is the same in all copies of a batch, so f_1(x)
is computed once, and its parameters need one row per sample instead of one per sample and copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from mep_hw.errors import ModelError
from mep_hw.layerwise.blocks import Block


class Chain:
    """`copies` copies of the batch x (batch, *shape), under one another; errors None stand for zero."""

    def __init__(self, blocks: Sequence[Block], x: Tensor, copies: int = 1) -> None:
        self.blocks, self.copies = blocks, copies
        self.first = self._evaluate(1, x)
        self.drive = self.first.detach().repeat(copies, *[1] * (self.first.dim() - 1))
        self.inputs: list[Tensor] = []  # leaves of blocks 2 .. L
        self.outputs: list[Tensor] = []  # f_2 .. f_L of them

    def forward(self, errors: Sequence[Tensor] | None = None) -> list[Tensor]:
        """The states s_l = f_l(s_{l-1}) + e_l, from input to output."""
        states = [self.drive if errors is None else self.drive + errors[0]]
        self.inputs, self.outputs = [], []
        for number in range(2, len(self.blocks) + 1):
            leaf = states[-1].detach().requires_grad_()
            output = self._evaluate(number, leaf)
            self.inputs.append(leaf)
            self.outputs.append(output)
            value = output.detach()
            states.append(value if errors is None else value + errors[number - 1])
        return states

    def back(self, number: int, error: Tensor) -> Tensor:
        """J^T error of block `number` (from 2) with respect to the state below, at the states of `forward`.

        Raises:
            ModelError: the block has no gradient to that state.
        """
        (pulled,) = self._pull(number, [self.inputs[number - 2]], error, "input")
        if pulled is None:
            raise self._cut(number, "input")
        return pulled

    def products(
        self, errors: Sequence[Tensor], weights: Tensor, wanted: set[int]
    ) -> list[tuple[nn.Parameter, Tensor]]:
        """sum over rows of weights * J_theta^T e_l for each parameter of block l whose id is in `wanted`.

        `weights` is (copies * batch,). A parameter that the block did not use is left out.

        Raises:
            ModelError: a block's output has no gradient to any of its parameters.
        """
        found: list[tuple[nn.Parameter, Tensor]] = []
        for number, block in enumerate(self.blocks, start=1):
            chosen = [p for p in block.parameters() if p.requires_grad and id(p) in wanted]
            if not chosen:
                continue
            error = errors[number - 1]
            weighted = error * weights.reshape(-1, *[1] * (error.dim() - 1))
            if number == 1:
                weighted = weighted.unflatten(0, (self.copies, -1)).sum(0)
            products = self._pull(number, chosen, weighted, "parameters")
            found += [(p, value) for p, value in zip(chosen, products, strict=True) if value is not None]
        return found

    def _evaluate(self, number: int, value: Tensor) -> Tensor:
        """The output of block `number` (from 1), with its graph.

        Raises:
            ModelError: it is not floating, so it is no state that could move.
        """
        block = self.blocks[number - 1]
        with torch.enable_grad():
            output = block(value)
        if not output.is_floating_point():
            raise ModelError(
                f"module {block.name}", "output", output.dtype, rule="must be floating, as states are",
                fix="let the model end before it, and round or take argmax outside",
            )  # fmt: skip
        return output

    def _pull(self, number: int, ends: Sequence[Tensor], error: Tensor, what: str) -> tuple[Tensor | None, ...]:
        """J^T error of block `number` (from 1) for each of `ends`, its `what`; None for one that it did not use."""
        output = self.first if number == 1 else self.outputs[number - 2]
        if not output.requires_grad:
            raise self._cut(number, what)
        products = torch.autograd.grad(output, ends, error, retain_graph=True, allow_unused=True)
        return cast("tuple[Tensor | None, ...]", products)  # as allow_unused has it

    def _cut(self, number: int, what: str) -> ModelError:
        return ModelError(
            f"module {self.blocks[number - 1].name}", rule=f"has no gradient to its {what}",
            fix="take out what cuts it off, such as detach or argmax, or make a model of what follows",
        )  # fmt: skip
