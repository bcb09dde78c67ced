"""A sum of outer products kept as its factors: what a local rule measures and what an array can program.

M = scale * sum_k left[:, k] right[:, k]^T. An EP contrast of a dense layer has this form with one or two columns per
sample, so it can be applied to weights, measured or multiplied without the (out, in) matrix ever being formed. Above
roughly min(out, in) columns the dense matrix is the smaller object; `dense()` is the way out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class OuterSum:
    """Factors `left` (out, k) and `right` (in, k) and a scalar, M = scale * left @ right^T of shape (out, in)."""

    left: Tensor
    right: Tensor
    scale: float = 1.0

    @property
    def shape(self) -> tuple[int, int]:
        return self.left.shape[0], self.right.shape[0]

    @property
    def rank(self) -> int:
        """Number of columns k, an upper bound of the matrix rank."""
        return self.left.shape[1]

    def dense(self) -> Tensor:
        """The (out, in) matrix."""
        return self.add_to(None)

    def add_to(self, base: Tensor | None, beta: float = 1.0) -> Tensor:
        """beta * base + M as a new tensor, in one product; M alone when `base` is None."""
        if base is None:
            product = self.left @ self.right.T
            return product if self.scale == 1.0 else product.mul_(self.scale)
        return torch.addmm(base, self.left, self.right.T, beta=beta, alpha=self.scale)

    def add_into_(self, weights: Tensor) -> None:
        """weights += M in place, without forming M; a convolution (out, in, k, k) counts as (out, in * k * k)."""
        matrix = weights if weights.dim() == 2 else weights.view(self.shape)
        matrix.addmm_(self.left, self.right.T, alpha=self.scale)

    def __mul__(self, factor: float) -> OuterSum:
        product = OuterSum(self.left, self.right, self.scale * factor)
        if "entries" in self.__dict__:  # the same factors have the same sum
            product.__dict__["entries"] = self.entries
        return product

    @cached_property
    def entries(self) -> Tensor:
        """Sum of the entries of both factors."""
        return self.left.sum() + self.right.sum()

    def matmul(self, other: Tensor) -> Tensor:
        """M @ other for `other` (in, n)."""
        return (self.left @ (self.right.T @ other)).mul_(self.scale)

    def norm(self) -> Tensor:
        """Frobenius norm in float64, from the Gram matrices of the factors.

        Columns enter at unit size: the Gram matrices' product is of fourth order in the entries, which would overflow
        or vanish in float32 long before the norm does.
        """
        (left, left_sizes), (right, right_sizes) = _unit_columns(self.left), _unit_columns(self.right)
        sizes = left_sizes * right_sizes * abs(self.scale)
        whole = sizes.norm()
        shares = (sizes / torch.where(whole > 0, whole, torch.ones_like(whole))).to(left.dtype)
        square = (((left * shares).T @ (left * shares)) * (right.T @ right)).sum()
        return square.clamp_min(0).sqrt() * whole

    def transposed(self) -> OuterSum:
        return OuterSum(self.right, self.left, self.scale)


def _unit_columns(factor: Tensor) -> tuple[Tensor, Tensor]:
    """The columns divided by their largest entries, and those entries (k,), in float64 as products of them need it."""
    sizes = factor.abs().amax(0)
    return factor / torch.where(sizes > 0, sizes, torch.ones_like(sizes)), sizes.double()


Update = Tensor | OuterSum


def dense(update: Update) -> Tensor:
    """The update as a tensor in the shape of its weights."""
    return update.dense() if isinstance(update, OuterSum) else update


def checksum(update: Update) -> Tensor:
    """A number that is finite exactly when all entries are (short of overflow), in one pass without a mask."""
    if not isinstance(update, OuterSum):
        return update.sum()
    plain = abs(update.scale) <= torch.finfo(update.left.dtype).max
    return update.entries if plain else update.entries + update.scale


def add_into_(weights: Tensor, update: Update) -> None:
    """weights += update in place."""
    if isinstance(update, OuterSum):
        update.add_into_(weights)
    else:
        weights.add_(update)
