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

from mep_hw.layerwise.blocks import Block


class Chain:
    """`copies` copies of the batch x (batch, *shape), under one another; errors None stand for zero."""

    def __init__(self, blocks: Sequence[Block], x: Tensor, copies: int = 1) -> None:
        self.blocks, self.copies = blocks, copies
        with torch.enable_grad():
            self.first = blocks[0](x)
        self.drive = self.first.detach().repeat(copies, *[1] * (self.first.dim() - 1))
        self.inputs: list[Tensor] = []  # leaves of blocks 2 .. L
        self.outputs: list[Tensor] = []  # f_2 .. f_L of them

    def forward(self, errors: Sequence[Tensor] | None = None) -> list[Tensor]:
        """The states s_l = f_l(s_{l-1}) + e_l, from input to output."""
        states = [self.drive if errors is None else self.drive + errors[0]]
        self.inputs, self.outputs = [], []
        for number, block in enumerate(self.blocks[1:], start=1):
            leaf = states[-1].detach().requires_grad_()
            with torch.enable_grad():
                output = block(leaf)
            self.inputs.append(leaf)
            self.outputs.append(output)
            value = output.detach()
            states.append(value if errors is None else value + errors[number])
        return states

    def back(self, number: int, error: Tensor) -> Tensor:
        """J^T error of block `number` (from 2) with respect to the state below, at the states of `forward`."""
        leaf, output = self.inputs[number - 2], self.outputs[number - 2]
        (pulled,) = torch.autograd.grad(output, leaf, error, retain_graph=True)
        return pulled

    def products(
        self, errors: Sequence[Tensor], weights: Tensor, wanted: set[int]
    ) -> list[tuple[nn.Parameter, Tensor]]:
        """sum over rows of weights * J_theta^T e_l for each parameter of block l whose id is in `wanted`.

        `weights` is (copies * batch,). A parameter that the block did not use is left out.
        """
        found: list[tuple[nn.Parameter, Tensor]] = []
        for number, block in enumerate(self.blocks):
            chosen = [p for p in block.parameters() if p.requires_grad and id(p) in wanted]
            if not chosen:
                continue
            weighted = errors[number] * weights.reshape(-1, *[1] * (errors[number].dim() - 1))
            if number == 0:
                weighted = weighted.unflatten(0, (self.copies, -1)).sum(0)
            output = self.first if number == 0 else self.outputs[number - 1]
            products = torch.autograd.grad(output, chosen, weighted, retain_graph=True, allow_unused=True)
            used = cast("tuple[Tensor | None, ...]", products)  # as allow_unused has it
            found += [(p, value) for p, value in zip(chosen, used, strict=True) if value is not None]
        return found
