"""Contrasts of one weight or of several alike as one object: whole, or as factors that are never multiplied out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mep_hw.outersum import OuterSum, Update


@dataclass(frozen=True)
class Whole:
    """value: (out, in), or (n, out, in) of n weights."""

    value: Tensor

    def times(self, m: Tensor, other: Tensor) -> Tensor:
        """(m + contrast) @ other."""
        return (m + self.value) @ other

    def transposed(self) -> Whole:
        return Whole(self.value.mT)

    def added(self, m: Tensor, share: float) -> Tensor:
        """share * (m + contrast)."""
        return (m + self.value) * share

    def less(self, m: Tensor, p: Tensor, r: Tensor, share: float) -> Tensor:
        """m + contrast - share * p r^T."""
        return _plus(m + self.value, p, r, -share)


@dataclass(frozen=True)
class Factors:
    """left: (out, c), right: (in, c), or (n, out, c) and (n, in, c) of n weights; contrast = left right^T scale."""

    left: Tensor
    right: Tensor
    scale: float

    def times(self, m: Tensor, other: Tensor) -> Tensor:
        """(m + contrast) @ other."""
        return m @ other + (self.left @ (self.right.mT @ other)).mul_(self.scale)

    def transposed(self) -> Factors:
        return Factors(self.right, self.left, self.scale)

    def added(self, m: Tensor, share: float) -> Tensor:
        """share * (m + contrast)."""
        return _plus(m, self.left, self.right, self.scale * share, share)

    def less(self, m: Tensor, p: Tensor, r: Tensor, share: float) -> Tensor:
        """m + contrast - share * p r^T, by one product for both."""
        return _plus(m, torch.cat([self.left * self.scale, p * -share], -1), torch.cat([self.right, r], -1), 1.0)


def stacked(contrasts: Sequence[Update]) -> Whole | Factors:
    """One contrast as it is, or several that are `kind`-alike on top of each other."""
    factors = [c for c in contrasts if isinstance(c, OuterSum)]
    if factors:
        return Factors(joined([c.left for c in factors]), joined([c.right for c in factors]), factors[0].scale)
    return Whole(joined([c.flatten(1) for c in contrasts if isinstance(c, Tensor)]))


def kind(contrast: Update) -> tuple[str, int, float]:
    """Contrasts of weights of one shape can be stacked where this is the same."""
    return ("factors", contrast.rank, contrast.scale) if isinstance(contrast, OuterSum) else ("whole", 0, 1.0)


def joined(values: Sequence[Tensor]) -> Tensor:
    """One matrix as it is, several on top of each other."""
    return values[0] if len(values) == 1 else torch.stack(list(values))


def _plus(m: Tensor, left: Tensor, right: Tensor, alpha: float, beta: float = 1.0) -> Tensor:
    """beta * m + alpha * left right^T."""
    product = torch.addmm if m.dim() == 2 else torch.baddbmm
    return product(m, left, right.mT, alpha=alpha, beta=beta)
