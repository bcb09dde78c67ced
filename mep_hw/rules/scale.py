"""How large an orthogonalised update is made for a layer of a given shape (out, in).

An orthogonal (out, in) matrix has spectral norm 1 and entries of root mean square 1 / sqrt(max(out, in)). The factor
decides what stays the same when the width changes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

SCALES: dict[str, Callable[[int, int], float]] = {
    "original": lambda out, into: math.sqrt(max(1.0, out / into)),  # Jordan 2024 and torch.optim.Muon
    "spectral": lambda out, into: math.sqrt(out / into),  # unit operator norm between root-mean-square norms (Dion)
    "adam": lambda out, into: (
        0.2 * math.sqrt(max(out, into))
    ),  # entries as large as Adam's (Liu et al. 2025, 2502.16982)
    "none": lambda out, into: 1.0,
}


def scale(name: str, shape: tuple[int, ...]) -> float:
    """The factor called `name`, one of `SCALES`, for weights of `shape`; convolutions count as (out, in * k * k)."""
    return SCALES[name](shape[0], math.prod(shape[1:]))
