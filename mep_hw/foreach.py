"""One operation on the entries of many tensors: on a GPU one launch for all of them, elsewhere a loop.

Torch's own optimizers are made of these functions, whose names it begins with an underscore; this is the only place
that names them. The results are those of one tensor after the other. Each list has one entry per tensor; tensors at
the same place of two lists have one shape. Fast only where all of them have one number format, and are laid out alike.
"""

# pyright: reportPrivateUsage=false, reportPrivateImportUsage=false

from __future__ import annotations

import math

import torch
from torch import Tensor

Tensors = list[Tensor] | tuple[Tensor, ...]


def add(values: Tensors, others: Tensors, alpha: float) -> list[Tensor]:
    """value + alpha * other."""
    return list(torch._foreach_add(values, others, alpha=alpha)) if values else []


def mul(values: Tensors, factors: list[float]) -> list[Tensor]:
    """value * factor."""
    return list(torch._foreach_mul(values, factors))


def div(values: Tensors, others: Tensors | list[float]) -> list[Tensor]:
    """value / other."""
    return list(torch._foreach_div(values, others))


def lerp(values: Tensors, others: Tensors, weight: float) -> list[Tensor]:
    """value + weight * (other - value)."""
    return list(torch._foreach_lerp(values, others, weight))


def mul_(values: Tensors, factors: list[float]) -> None:
    """value *= factor."""
    torch._foreach_mul_(values, factors)


def add_(values: Tensors, number: float) -> None:
    """value += number."""
    torch._foreach_add_(values, number)


def addcmul_(values: Tensors, left: Tensors, right: Tensors, factor: float) -> None:
    """value += factor * left * right."""
    torch._foreach_addcmul_(values, left, right, factor)


def sqrt_(values: Tensors) -> None:
    """value = sqrt(value)."""
    torch._foreach_sqrt_(values)


def largest(values: Tensors) -> Tensor:
    """The largest size of any entry, a number; NaN where one is. (On a CPU a sum is 40 times faster than this norm.)"""
    return torch.stack(torch._foreach_norm(values, math.inf)).amax()
