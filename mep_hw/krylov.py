"""Batches of symmetric linear systems of which only products are known: conjugate gradients, then MINRES.

Every row of the batch is a system of its own with its own step lengths. Conjugate gradients notice a matrix that is not
positive definite by a direction of negative curvature; such rows, and those that stall, are handed one by one to
MINRES, which needs symmetry only and is slow here. Nearly singular systems end with a residual above `RESIDUAL`; the
caller decides what it can bear.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

RESIDUAL = 1e-13  # relative, where both methods stop
Product = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Solved:
    """solution (batch, n); residual (batch,) of it, relative to the right-hand side; definite (batch,), see module."""

    solution: Tensor
    residual: Tensor
    definite: Tensor


def solve(product: Product, right: Tensor) -> Solved:
    """Solve A_b x_b = right_b for symmetric A_b.

    Args:
        product: directions (batch, n) float64 -> A_b @ direction_b per row.
        right: (batch, n) float64.
    """
    solution, definite, arrived = _conjugate_gradients(product, right)
    for row in (~arrived).nonzero().flatten().tolist():
        solution[row] = _minres(product, right, row)
    missed = (product(solution) - right).norm(dim=1)
    return Solved(solution, missed / right.norm(dim=1).clamp_min(torch.finfo(right.dtype).tiny), definite)


def _conjugate_gradients(product: Product, right: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Solution; whether every direction tried had positive curvature; whether RESIDUAL was reached."""
    solution, residual, direction = torch.zeros_like(right), right.clone(), right.clone()
    square = residual.square().sum(1)
    goal = RESIDUAL**2 * square
    definite = torch.ones_like(square, dtype=torch.bool)
    for _ in range(2 * right.shape[1] + 10):  # n steps in exact arithmetic
        live = definite & (square > goal)
        if not bool(live.any()):
            break
        image = product(direction)
        curvature = (direction * image).sum(1)
        definite &= ~live | (curvature > 0)
        step = torch.where(live & definite, square / curvature, 0.0)[:, None]
        solution += step * direction
        residual -= step * image
        before, square = square, residual.square().sum(1)
        direction = residual + torch.where(live, square / before, 0.0)[:, None] * direction
    return solution, definite, definite & (square <= goal)


def _minres(product: Product, right: Tensor, row: int) -> Tensor:
    """One system of the batch (Paige and Saunders 1975), whose matrix is known by its products only."""
    from scipy.sparse.linalg import LinearOperator, minres  # slow to import, and seldom needed

    class Row(LinearOperator):
        def _matvec(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
            direction = torch.zeros_like(right)
            direction[row] = torch.from_numpy(x.reshape(-1)).to(direction)
            return product(direction)[row].cpu().numpy()

    found = minres(
        Row(np.float64, (right.shape[1], right.shape[1])),
        right[row].cpu().numpy(),
        rtol=RESIDUAL,
        maxiter=10 * right.shape[1],
    )[0]
    return torch.from_numpy(found).to(right)
