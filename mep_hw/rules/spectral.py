"""A bound on the spectral norm of a coupling, kept by one rank-1 correction per step.

Sweeps contract while the couplings between layers are weak, and training makes them grow. After the rule has proposed
an update U, two steps of power iteration on W + U, warm-started with last step's singular vector, estimate its largest
singular value sigma; if that is above the bound, (sigma - bound) v u^T is taken off. One direction per step is enough
as long as steps are small against the gap to the bound; a large step can overshoot for a few steps. Convolutions are
bounded as (out, in * k * k) matrices, which bounds their operator norm only up to a factor of k.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mep_hw.outersum import OuterSum, Update, dense
from mep_hw.rules.base import Memory

ITERATIONS = 2


def start(shape: tuple[int, ...], generator: torch.Generator, dtype: torch.dtype) -> Memory:
    """A random direction to start the power iteration from."""
    columns = torch.Size(shape[1:]).numel()
    return {"u": torch.randn(columns, generator=generator, dtype=dtype, device=generator.device)}


def cap(update: Update, memory: Memory, weights: Tensor, bound: float) -> tuple[Update, Memory]:
    """`update` corrected so that weights + update tends to a spectral norm of at most `bound`."""
    matrix = weights.flatten(1)
    change = update if isinstance(update, OuterSum) else update.flatten(1)
    back = change.transposed() if isinstance(change, OuterSum) else change.T
    u, v, sigma = memory["u"], memory["u"], 0.0
    for _ in range(ITERATIONS):
        v = _unit(torch.mv(matrix, u) + _mv(change, u))
        u = torch.mv(matrix.T, v) + _mv(back, v)
        sigma = float(u.norm())
        u = _unit(u)
    if sigma <= bound:
        return update, {"u": u}
    if isinstance(update, OuterSum) and update.rank < min(update.shape):
        left = torch.cat([update.left * update.scale, v[:, None] * (bound - sigma)], 1)
        return OuterSum(left, torch.cat([update.right, u[:, None]], 1)), {"u": u}
    corrected = torch.addr(dense(update).flatten(1), v, u, alpha=bound - sigma)
    return corrected.view_as(weights), {"u": u}


def _mv(matrix: Tensor | OuterSum, vector: Tensor) -> Tensor:
    return matrix.matmul(vector) if isinstance(matrix, OuterSum) else torch.mv(matrix, vector)


def _unit(vector: Tensor) -> Tensor:
    return vector / vector.norm().clamp_min(torch.finfo(vector.dtype).tiny)
