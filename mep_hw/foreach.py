"""One operation on the entries of many tensors: on a GPU one launch for all of them, elsewhere a loop.

Torch's own optimizers are made of these functions, whose names it begins with an underscore; this is the only place
that names them. The results are those of one tensor after the other. Each list has one entry per tensor; tensors at
the same place of two lists have one shape. Fast only where all of them have one number format, and are laid out alike.
"""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

Tensors = Sequence[Tensor]


def add(values: Tensors, others: Tensors, alpha: float) -> list[Tensor]:
    """value + alpha * other."""
    return list(torch._foreach_add(_as(values), _as(others), alpha=alpha)) if values else []


def mul(values: Tensors, factors: Sequence[float]) -> list[Tensor]:
    """value * factor."""
    return list(torch._foreach_mul(_as(values), list(factors)))


def div(values: Tensors, others: Tensors | Sequence[float]) -> list[Tensor]:
    """value / other."""
    return list(torch._foreach_div(_as(values), list(others)))  # type: ignore[arg-type]


def lerp(values: Tensors, others: Tensors, weight: float) -> list[Tensor]:
    """value + weight * (other - value)."""
    return list(torch._foreach_lerp(_as(values), _as(others), weight))


def mul_(values: Tensors, factors: Sequence[float]) -> None:
    """value *= factor."""
    torch._foreach_mul_(_as(values), list(factors))


def add_(values: Tensors, number: float) -> None:
    """value += number."""
    torch._foreach_add_(_as(values), number)


def addcmul_(values: Tensors, left: Tensors, right: Tensors, factor: float) -> None:
    """value += factor * left * right."""
    torch._foreach_addcmul_(_as(values), _as(left), _as(right), factor)


def sqrt_(values: Tensors) -> None:
    """value = sqrt(value)."""
    torch._foreach_sqrt_(_as(values))


def largest(values: Tensors) -> Tensor:
    """The largest size of any entry, a number; NaN where one is. (On a CPU a sum is 40 times faster than this norm.)"""
    return torch.stack(torch._foreach_norm(_as(values), math.inf)).amax()


def _as(values: Tensors) -> list[Tensor]:
    return list(values)
