"""The products of both directions with rounded operands: what a GPU is fast at.

tf32 is a way in which float32 products run, set around them and set back afterwards, because it belongs to the process
and not to a machine. bf16 needs copies of the weights, which follow every change in place, and rounds results as well;
sums with what was there before are float32.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from mep_hw.model import Model


class Products:
    """Phi and its transpose with the weights of a machine.

    Args:
        weights, biases: of the machine, which change in place.
        operands: "fp32", "tf32" or "bf16".
        places: where operands of some couplings are held already; None elsewhere.
    """

    def __init__(
        self,
        model: Model,
        weights: Sequence[Tensor],
        biases: list[Tensor | None],
        operands: str,
        places: Mapping[int, Tensor],
    ) -> None:
        self.model, self.biases, self.weights, self.operands = model, biases, weights, operands
        self.held = [places.get(c, self._operand(weight)) for c, weight in enumerate(weights)]
        for c in range(len(weights)):
            self.refresh(c)

    def refresh(self, coupling: int) -> None:
        """Follow a change of the machine's weights."""
        mine, theirs = self.held[coupling], self.weights[coupling]
        if mine.data_ptr() != theirs.data_ptr():
            mine.copy_(theirs)

    def couple(self, c: int, source: Tensor, add: Tensor | None) -> Tensor:
        weight = self.held[c]
        if weight.dtype == source.dtype:
            return self.model.couplings[c].forward(source, weight, add)
        product = self.model.couplings[c].forward(source.to(weight.dtype), weight).to(source.dtype)
        return product if add is None else product + add

    def couple_back(self, c: int, target: Tensor, source: Tensor, add: Tensor | None) -> Tensor:
        weight = self.held[c]
        if weight.dtype == target.dtype:
            return self.model.couplings[c].backward(target, weight, source, add)
        low = weight.dtype
        product = self.model.couplings[c].backward(target.to(low), weight, source.to(low)).to(target.dtype)
        return product if add is None else product + add

    def _operand(self, weight: Tensor) -> Tensor:
        dtype = torch.bfloat16 if self.operands == "bf16" and weight.dtype == torch.float32 else weight.dtype
        if weight.is_cuda and weight.dim() == 4:  # tensor cores want the channels last
            return weight.to(dtype, memory_format=torch.channels_last)
        return weight if dtype == weight.dtype else weight.to(dtype)


@contextmanager
def rounding(operands: str, place: torch.device) -> Generator[None]:
    """Whether float32 products and convolutions on a GPU round their operands to tf32 meanwhile, as `operands` say; and
    `place` is the GPU that kernels without tensors of their own are started on."""
    if place.type != "cuda":
        yield
        return
    settings = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)  # pyright: ignore[reportAttributeAccessIssue]
    before = [setting.fp32_precision for setting in settings]
    for setting in settings:
        setting.fp32_precision = "ieee" if operands == "fp32" else "tf32"
    try:
        with torch.cuda.device(place):
            yield
    finally:
        for setting, value in zip(settings, before, strict=True):
            setting.fp32_precision = value
