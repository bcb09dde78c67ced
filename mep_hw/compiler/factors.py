"""An update as a sum of outer products, one a cycle: its factors, and which of its directions are worth a cycle now.

A direction whose largest cell would get less than LEAST of a pulse is left to later updates, where it has grown or
cancelled: the cycle would cost as much as that of a strong one (write density, Gural et al., arXiv 2009.03887).
"""

from __future__ import annotations

import torch
from torch import Tensor

from mep_hw.outersum import OuterSum, Update, dense
from mep_hw.rules.orthogonal import decompose

LEAST = 1 / 8  # of a pulse, in a direction's largest cell


def factors(update: Update) -> OuterSum:
    """The update's own factors, or the singular directions of a dense one, (out, r) and (in, r) with scale 1."""
    if isinstance(update, OuterSum):
        return OuterSum(update.left * update.scale, update.right)
    return directions(update)


def directions(update: Update) -> OuterSum:
    """Its singular directions, the strongest first; both factors of one have the same length."""
    if isinstance(update, OuterSum) and update.rank < min(update.shape):
        (left, inner), (right, other) = (torch.linalg.qr(side) for side in (update.left * update.scale, update.right))
        u, values, v = decompose(inner @ other.T)
        u, v = left @ u, right @ v.T
    else:
        u, values, v = decompose(dense(update).flatten(1))
        v = v.T
    top = float(values[0]) if len(values) else 0.0
    real = values > top * (max(u.shape[0], v.shape[0]) * torch.finfo(values.dtype).eps)  # not rounding
    root = values[real].sqrt()
    return OuterSum(u[:, real] * root, v[:, real] * root)


def peaks(factors: OuterSum, step: float) -> Tensor:
    """Pulses that each direction asks of its largest cell, (r,)."""
    return factors.left.abs().amax(0) * factors.right.abs().amax(0) / step


def split(factors: OuterSum, step: float, most: int | None, least: float = LEAST) -> tuple[OuterSum, OuterSum | None]:
    """Directions worth a cycle, at most `most` of them, and the rest; None: there is no rest."""
    worth = peaks(factors, step) >= least
    if most is not None and int(worth.sum()) > most:
        worth &= worth.cumsum(0) <= most  # the strongest come first
    if bool(worth.all()):
        return factors, None
    return _some(factors, worth), _some(factors, ~worth)


def _some(factors: OuterSum, which: Tensor) -> OuterSum:
    return OuterSum(factors.left[:, which], factors.right[:, which])
