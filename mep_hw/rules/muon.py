"""Muon (Jordan et al. 2024): momentum, then the polar factor of it, so that all directions move at the same speed.

    m <- momentum m + (1 - momentum) contrast
    u  = momentum m + (1 - momentum) contrast (Nesterov), or m
    update = lr scale(out, in) polar(u)

In the convention of torch.optim.Muon. The polar factor does not depend on the size of the contrast, however small;
that mends the early layers of a deep model, which truncated settling gives too small a contrast. It needs the dense
matrix; a machine that wants few outer products is better served by Dion. On a GPU the couplings of one shape go
through one batched Newton-Schulz, so a deep model takes as many launches as one layer of it.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mep_hw import foreach
from mep_hw.outersum import OuterSum, Update
from mep_hw.ranges import BELOW_ONE, require, require_one_of
from mep_hw.rules.adam import BIAS_LR, Adam
from mep_hw.rules.base import Asked, Memory, Rule
from mep_hw.rules.batched import Batched
from mep_hw.rules.orthogonal import METHODS, orthogonalise
from mep_hw.rules.scale import SCALES, scale


@dataclass(frozen=True)
class Muon(Batched):
    """momentum in [0, 1); `method` and `dtype` as for `orthogonalise`; `scale` a name in `rules.scale.SCALES`.

    Raises:
        InputError: momentum out of range, or an unknown method or scale.
    """

    momentum: float = 0.95
    nesterov: bool = True
    method: str = "auto"
    dtype: torch.dtype | None = None
    scale: str = "original"
    name = "muon"
    bias_lr = BIAS_LR

    def __post_init__(self) -> None:
        require("rule muon", "momentum", self.momentum, BELOW_ONE, "0.95 is usual")
        require_one_of("rule muon", "method", self.method, METHODS, "use auto")
        require_one_of("rule muon", "scale", self.scale, SCALES, "use original")

    def init(self, shape: tuple[int, ...], generator: torch.Generator, dtype: torch.dtype) -> Memory:
        return {"m": torch.zeros(shape, dtype=dtype, device=generator.device)}

    def alike(self, asked: Asked) -> Hashable:
        m = asked.memory["m"]
        return m.shape, m.dtype

    def several(self, group: Sequence[Asked]) -> list[tuple[Update, Memory]]:
        velocities = [_blend(a.memory["m"], a.contrast, self.momentum) for a in group]
        directions = [self._ahead(v, a.contrast).flatten(1) for v, a in zip(velocities, group, strict=True)]
        stack = directions[0] if len(group) == 1 else torch.stack(directions)
        polar = orthogonalise(stack, self.method, self.dtype)
        shape = group[0].memory["m"].shape
        polars = [polar] if len(group) == 1 else polar.unbind()
        updates = foreach.mul(polars, [a.lr * scale(self.scale, tuple(shape)) for a in group])
        return [(u.reshape(shape), {"m": v}) for u, v in zip(updates, velocities, strict=True)]

    def _ahead(self, velocity: Tensor, contrast: Update) -> Tensor:
        """Where the momentum is going."""
        return _blend(velocity, contrast, self.momentum, nesterov=True) if self.nesterov else velocity

    def for_biases(self) -> Rule:
        return Adam()


def _blend(old: Tensor, contrast: Update, share: float, *, nesterov: bool = False) -> Tensor:
    """share * old + (1 - share) * contrast."""
    if isinstance(contrast, OuterSum):
        return (contrast * (1 - share)).add_to(old, share)
    # From the side that torch.optim.Muon starts at: bfloat16 makes one rounding of float32 visible.
    return torch.lerp(contrast, old, share) if nesterov else torch.lerp(old, contrast, 1 - share)
