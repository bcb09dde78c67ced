"""Error feedback for any rule: what a compressed update loses is added to the next one.

    e <- e + update,   realised = compress(e),   e <- e - realised

(Seide et al. 2014; Karimireddy et al. 2019, arXiv 1901.09847.) The sum of all realised updates then differs from the
sum of all intended ones by the present residual only. Dion keeps its own residual, in its momentum; this is for
everything else: few outer products per update, or weights in a coarse number format.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from mep_hw.outersum import OuterSum, Update, dense
from mep_hw.ranges import COUNT, require
from mep_hw.rules.base import Asked, Memory, Wrapper


class Compressor(Protocol):
    """What of an intended update (in the shape of the weights) can be realised on the present weights."""

    needs_weights: bool

    def __call__(self, intended: Tensor, weights: Tensor | None) -> Update: ...


@dataclass(frozen=True)
class Rounded:
    """Weights that are stored in `dtype`: the change that is left after rounding weights + update to it."""

    dtype: torch.dtype
    needs_weights = True

    def __call__(self, intended: Tensor, weights: Tensor | None) -> Update:
        assert weights is not None  # needs_weights
        wide = weights.to(intended.dtype)
        return (wide + intended).to(self.dtype).to(intended.dtype) - wide


@dataclass(frozen=True)
class Truncated:
    """The `rank` (>= 1) strongest directions of an update, as an `OuterSum`: so many addressing cycles of an array.

    Raises:
        InputError: a rank out of range.
    """

    rank: int
    needs_weights = False

    def __post_init__(self) -> None:
        require("error feedback", "rank", self.rank, COUNT, "8 is a good start")

    def __call__(self, intended: Tensor, weights: Tensor | None) -> Update:
        left, values, right = torch.linalg.svd(intended.flatten(1), full_matrices=False)
        kept = OuterSum(left[:, : self.rank] * values[: self.rank], right[: self.rank].T)
        return kept if intended.dim() == 2 else kept.dense().view_as(intended)


@dataclass(frozen=True)
class ErrorFeedback(Wrapper):
    """Runs `compress` on what the rule intends plus what is still owed; the residual is part of the memory."""

    compress: Compressor

    @property
    def needs_weights(self) -> bool:  # type: ignore[override]
        return self.rule.needs_weights or self.compress.needs_weights

    def init(self, shape: tuple[int, ...], generator: torch.Generator, dtype: torch.dtype) -> Memory:
        inner = super().init(shape, generator, dtype)
        wide = torch.promote_types(dtype, torch.float32)  # a residual in the coarse format would itself be rounded away
        return inner | {"residual": torch.zeros(shape, dtype=wide, device=generator.device)}

    def after(self, asked: Asked, update: Update, new: Memory) -> tuple[Update, Memory]:
        residual = asked.memory["residual"]
        intended = residual + dense(update).view_as(residual)
        realised = self.compress(intended, asked.weights)
        return realised, new | {"residual": intended - dense(realised)}
