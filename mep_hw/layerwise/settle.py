"""Settling of a nudged phase of F = E + beta C, in the errors e_l = s_l - f_l(s_{l-1}).

F is stationary where e_L = -beta dC/ds_L and e_l = J_{l+1}(s_l)^T e_{l+1}. A sweep works out these right-hand sides
from output to input at the present states, moves the errors towards them, and then sets s_l = f_l(s_{l-1}) + e_l from
input to output. In any other order a few sweeps leave the early layers without an error. At the first sweep the
right-hand sides are beta times what backprop would give, so agreement with backprop after one sweep proves nothing.

States follow from errors, so F is a function of the errors alone, |e|^2 / 2 + beta C(s_L(e)), and what a sweep moves
by is exactly its negative slope -dF/de; the slope in the states, dF/ds_l = dF/de_l - J_{l+1}^T dF/de_{l+1}, is zero at
the same points. Its curvature is 1 plus something of order beta, so full steps converge for a small beta. For a
larger one each sample measures the largest curvature h that its steps meet and uses 2 / (1 + h), the best step for
curvatures between 1 and h.

Not valid for a strong negative beta: with squared error, F has no minimum once |beta| times the squared norm of
ds_L/de passes 1, which for a deep stack is well below 1; the residual then grows, and `mep_hw.layerwise.energy` refuses
it. At a large beta the minimum may lie on a kink of a ReLU or a max pool, where no slope is zero, or in the narrow
valleys that a LayerNorm makes of small inputs: the residual then stays above any tight tolerance, and says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mep_hw.layerwise.chain import Chain
from mep_hw.layerwise.loss import Loss


@dataclass(frozen=True)
class Nudged:
    """A nudged phase; rows are the copies of the batch under one another, one per strength.

    states, errors: s_l and e_l = s_l - f_l(s_{l-1}) for l = 1 .. L, each (rows, *shape).
    beta: (rows,) strengths.
    sweeps: (rows,) sweeps until the sample stopped.
    residual: (rows,) largest entry of |dF/de| at these states.
    start: (rows,) the same before the first sweep, at the free state.
    """

    states: list[Tensor]
    errors: list[Tensor]
    beta: Tensor
    sweeps: Tensor
    residual: Tensor
    start: Tensor


def order(depth: int) -> Iterable[int]:
    """Layers in the order in which their errors are worked out: output to input, each from the one above."""
    return range(depth, 0, -1)


def settle(
    chain: Chain, states: list[Tensor], beta: Tensor, target: Tensor, loss: Loss, *, tolerance: float, cap: int
) -> Nudged:
    """Settle `chain` from its free state, by at least one sweep.

    Args:
        states: what `chain.forward()` just returned.
        beta: (rows,) strengths of either sign.
        target: as `loss` wants it, one entry per row.
        tolerance: a sample stops when its residual is at most tolerance * |beta|.
        cap: most sweeps.
    """
    errors = [torch.zeros_like(s) for s in states]
    sweeps = torch.zeros(len(beta), dtype=torch.int64, device=beta.device)
    limit, stride = tolerance * beta.abs(), _Stride(beta)
    start: Tensor | None = None
    while True:
        wanted = _wanted(chain, states, errors, _column(beta, states[-1]) * loss.slope(states[-1], target))
        change = [new - old for new, old in zip(wanted, errors, strict=True)]
        residual = _largest(change)
        start = residual if start is None else start
        moving = (sweeps == 0) | ~(residual <= limit) & (sweeps < cap)
        if not bool(moving.any()):
            return Nudged(states, errors, beta, sweeps, residual, start)
        # A sample that has stopped keeps its errors, so its result does not depend on the others.
        length = stride.next(change)
        errors = [_moved(e, d, length, moving) for e, d in zip(errors, change, strict=True)]
        sweeps = sweeps + moving
        states = chain.forward(errors)


def _wanted(chain: Chain, states: Sequence[Tensor], errors: Sequence[Tensor], pull: Tensor) -> list[Tensor]:
    """The errors at which F would be stationary if the states stayed where they are; `pull` is beta dC/ds_L."""
    depth, wanted = len(states), list(errors)
    for layer in order(depth):
        wanted[layer - 1] = -pull if layer == depth else chain.back(layer + 1, wanted[layer])
    return wanted


class _Stride:
    """Step length per sample, 2 / (1 + h), with h the largest curvature that its steps have met, at least 1."""

    def __init__(self, beta: Tensor) -> None:
        self.largest = torch.ones_like(beta)
        self.length = torch.ones_like(beta)
        self.previous: list[Tensor] | None = None

    def next(self, change: list[Tensor]) -> Tensor:
        if self.previous is not None:
            # A step of `length` along d changes the slope by length H d: this is the Rayleigh quotient of H along d.
            square = _dot(self.previous, self.previous)
            seen = (1 - _dot(self.previous, change) / square) / self.length
            self.largest = torch.fmax(self.largest, seen)  # fmax: a sample that did not move has 0 / 0
            self.length = 2 / (1 + self.largest)
        self.previous = change
        return self.length


def _moved(error: Tensor, change: Tensor, length: Tensor, moving: Tensor) -> Tensor:
    return torch.where(_column(moving, error), error + _column(length, error) * change, error)


def _dot(left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
    return torch.stack([(a * b).flatten(1).sum(1) for a, b in zip(left, right, strict=True)]).sum(0)


def _largest(change: Sequence[Tensor]) -> Tensor:
    return torch.stack([d.abs().flatten(1).amax(1) for d in change]).amax(0)


def _column(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (like.dim() - 1))
