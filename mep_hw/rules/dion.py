"""Dion (Ahn et al. 2025, arXiv 2504.05295): Muon in r directions, with what they leave out kept for later.

    M <- M + contrast,   P = orth(M Q),   R = M^T P,   update = lr scale(out, in) P normalise(R)^T
    M <- M - (1 - momentum) P R^T         what was applied decays, the rest is kept whole (error feedback)
    Q <- normalise(R)                     columns of unit length: the subspace for the next step

The update is an `OuterSum` of rank r, which is r addressing cycles of an array; an `OuterSum` contrast enters through
its factors and is never formed. One power iteration a step is enough while M changes slowly; the first steps work in a
random subspace. Without feedback all of M decays instead, and what the r directions miss is forgotten with it.

In a job of several processes each keeps a momentum M_i of its own shares of the contrasts; M is their mean. Only the
factors are summed, r (out + in) numbers a step, as all else is linear in M:

    P = orth(mean_i (M_i + contrast_i) Q),   R_i = (M_i + contrast_i)^T P,   R = mean_i R_i
    M_i <- M_i + contrast_i - (1 - momentum) P R_i^T
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mep_hw.distributed import ALONE, Group
from mep_hw.errors import InputError
from mep_hw.outersum import OuterSum, Update
from mep_hw.ranges import BELOW_ONE, COUNT, SHARE, require, require_one_of
from mep_hw.rules.adam import BIAS_LR, Adam
from mep_hw.rules.base import Asked, Memory, Rule
from mep_hw.rules.batched import Batched
from mep_hw.rules.scale import SCALES, scale
from mep_hw.rules.stack import joined, kind, stacked


@dataclass(frozen=True)
class Dion(Batched):
    """rank >= 1, or fraction in (0, 1] of the smaller side (rounded up); momentum in [0, 1); `group`: of the job.

    Raises:
        InputError: a number out of range, both rank and fraction, or an unknown scale.
    """

    rank: int | None = None
    fraction: float | None = None
    momentum: float = 0.95
    feedback: bool = True
    scale: str = "spectral"
    group: Group = ALONE
    name = "dion"
    bias_lr = BIAS_LR

    def __post_init__(self) -> None:
        if self.rank is not None and self.fraction is not None:
            raise InputError("rule dion", "rank", self.rank, rule="stands beside a fraction", fix="give one of them")
        if self.rank is not None:
            require("rule dion", "rank", self.rank, COUNT, "8 is a good start")
        if self.fraction is not None:
            require("rule dion", "fraction", self.fraction, SHARE, "0.25 is a good start")
        require("rule dion", "momentum", self.momentum, BELOW_ONE, "0.95 is usual")
        require_one_of("rule dion", "scale", self.scale, SCALES, "use spectral")

    @property
    def reduces(self) -> bool:  # type: ignore[override]
        return self.group.size > 1

    def width(self, shape: tuple[int, ...]) -> int:
        """The rank r for weights of this shape."""
        side = min(shape[0], math.prod(shape[1:]))
        share = 0.25 if self.fraction is None else self.fraction
        return min(side, math.ceil(share * side) if self.rank is None else self.rank)

    def init(self, shape: tuple[int, ...], generator: torch.Generator, dtype: torch.dtype) -> Memory:
        columns = math.prod(shape[1:])
        place = generator.device
        q = torch.randn(columns, self.width(shape), generator=generator, dtype=torch.float32, device=place)
        return {"m": torch.zeros(shape, dtype=dtype, device=place), "q": _unit(q)[0].to(dtype)}

    def alike(self, asked: Asked) -> Hashable:
        m = asked.memory["m"]
        return m.shape, m.dtype, kind(asked.contrast)

    def several(self, group: Sequence[Asked]) -> list[tuple[Update, Memory]]:
        m, q = joined([a.memory["m"].flatten(1) for a in group]), joined([a.memory["q"] for a in group])
        new = stacked([a.contrast for a in group])
        p = _orthonormal(self.group.mean(new.times(m, q)))
        own = new.transposed().times(m.mT, p)
        columns, real = _unit(self.group.mean(own))
        kept = torch.where(real, columns, q)  # a direction that M lacks is looked for again from where it was
        after = new.less(m, p, own, 1 - self.momentum) if self.feedback else new.added(m, self.momentum)
        shape = group[0].memory["m"].shape
        factor, parts = scale(self.scale, tuple(shape)), (p, columns * real, after, kept)
        each = zip(*(part[None] if len(group) == 1 else part for part in parts), group, strict=True)
        return [(OuterSum(a, b, asked.lr * factor), {"m": n.view(shape), "q": k}) for a, b, n, k, asked in each]

    def for_biases(self) -> Rule:
        return Adam()

    def together(self, memory: Memory) -> Memory:
        return memory | {"m": self.group.mean(memory["m"])}


def _orthonormal(value: Tensor) -> Tensor:
    wide = torch.promote_types(value.dtype, torch.float32)  # QR does not exist in half precision
    return torch.linalg.qr(value.to(wide))[0].to(value.dtype)


def _unit(columns: Tensor) -> tuple[Tensor, Tensor]:
    """The columns (..., n, r) at unit length, and (..., 1, r) which of them are more than rounding."""
    norms = columns.norm(dim=-2, keepdim=True)
    real = norms > norms.amax(-1, keepdim=True) * (columns.shape[-2] * torch.finfo(columns.dtype).eps)
    return columns / torch.where(real, norms, torch.ones_like(norms)), real
