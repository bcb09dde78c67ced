"""Couplings as products of an array: a convolution becomes one product per patch, with all positions in the batch.

A patch is what one output position sees, (in * k * k); the transposed product returns patches, which are added where
they overlap. Pooling stays outside of the array. Not valid for max pooling behind the weights, whose way back depends
on products that were not read.
"""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from mep_hw.coupling import Conv, Coupling

Product = Callable[[Tensor, int], Tensor]  # rows in, rows out, and how many rows belong to one sample


def forward(coupling: Coupling, source: Tensor, product: Product, add: Tensor | None) -> Tensor:
    """Phi(source) + add, as `Coupling.forward`; product: (rows, in) -> (rows, out)."""
    value, operator = coupling.operand(source), coupling.operator
    if isinstance(operator, Conv):
        patches = F.unfold(value, operator.kernel, padding=operator.padding, stride=operator.stride).transpose(1, 2)
        rows = product(patches.flatten(0, 1), patches.shape[1]).unflatten(0, patches.shape[:2])
        value = rows.transpose(1, 2).unflatten(2, operator.shape(coupling.operand_shape)[1:])
    else:
        value = product(value.flatten(1), 1)
    for pool in coupling.after:
        value = pool.forward(value)
    return value if add is None else value + add


def backward(coupling: Coupling, target: Tensor, source: Tensor, product: Product, add: Tensor | None) -> Tensor:
    """d<target, Phi(source)>/d source + add, as `Coupling.backward`; product: (rows, out) -> (rows, in)."""
    value, operator = coupling.unpool_after(target, source), coupling.operator
    if isinstance(operator, Conv):
        rows = value.flatten(2).transpose(1, 2)
        patches = product(rows.flatten(0, 1), rows.shape[1]).unflatten(0, rows.shape[:2]).transpose(1, 2)
        size = coupling.operand_shape[1:]
        value = F.fold(patches, size, operator.kernel, padding=operator.padding, stride=operator.stride)
    else:
        value = product(value, 1).unflatten(1, coupling.operand_shape)
    value = coupling.unpool_before(value, source)
    return value if add is None else value + add
