"""The soft cap: two odd cubics, s - a s^3 and then s + a s^3, that send a largest singular value k to a bound c < k.

    k (1 - 3 z^2 + 3 z^3 - z^4) = c,   a = z / k^2

(Newhouse et al. 2025, arXiv 2507.13338, solved there as a quartic in a.) Both are products with X X^T, so singular
vectors stay and small singular values hardly change. For k above 1.3 c one pair would fold the order of the singular
values; several pairs then follow one another.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

REACH = 1.3  # largest k / c of one pair: z stays below 1/3, where s - a s^3 still rises up to k


def soft_cap(matrix: Tensor, largest: float, bound: float) -> Tensor:
    """`matrix` with all singular values at most `bound`, given that they are at most `largest`."""
    while largest > bound:
        target = max(bound, largest / REACH)
        alpha = strength(largest, target)
        matrix = _odd(_odd(matrix, -alpha), alpha)
        largest = target
    return matrix


def strength(largest: float, target: float) -> float:
    """The a for which the pair sends `largest` to `target`; needs largest <= REACH * target."""
    roots = np.roots([-1.0, 3.0, -3.0, 0.0, 1 - target / largest])
    z = min(root.real for root in roots if abs(root.imag) < 1e-12 and root.real >= 0)
    return float(z) / largest**2


def _odd(matrix: Tensor, alpha: float) -> Tensor:
    """matrix + alpha matrix matrix^T matrix, on the smaller side."""
    if matrix.shape[0] > matrix.shape[1]:
        return _odd(matrix.T, alpha).T
    return matrix + alpha * (matrix @ matrix.T) @ matrix
