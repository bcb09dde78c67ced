"""Stochastic gradient descent with momentum and L2 weight decay, in the convention of torch.optim.SGD.

    m <- momentum m + (contrast - weight_decay W),   W <- W + lr m

Without momentum and decay the update keeps the factors of the contrast, so nothing dense is ever formed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mep_hw import foreach
from mep_hw.outersum import OuterSum, Update
from mep_hw.ranges import BELOW_ONE, NOT_NEGATIVE, require
from mep_hw.rules.base import Asked, Memory
from mep_hw.rules.batched import Batched


@dataclass(frozen=True)
class Sgd(Batched):
    """momentum in [0, 1), weight_decay >= 0 (L2, added to the gradient).

    Raises:
        InputError: a number out of range.
    """

    momentum: float = 0.0
    weight_decay: float = 0.0
    name = "sgd"

    def __post_init__(self) -> None:
        require("rule sgd", "momentum", self.momentum, BELOW_ONE, "0.9 is usual")
        require("rule sgd", "weight_decay", self.weight_decay, NOT_NEGATIVE, "0 switches it off")

    @property
    def needs_weights(self) -> bool:  # type: ignore[override]
        return self.weight_decay > 0

    def init(self, shape: tuple[int, ...], generator: torch.Generator, dtype: torch.dtype) -> Memory:
        return {"m": torch.zeros(shape, dtype=dtype, device=generator.device)} if self.momentum else {}

    def several(self, group: Sequence[Asked]) -> list[tuple[Update, Memory]]:
        contrasts = [self._decayed(a) for a in group]
        if not self.momentum:
            return [(contrast * a.lr, a.memory) for contrast, a in zip(contrasts, group, strict=True)]
        velocities = _plus([a.memory["m"] for a in group], self.momentum, contrasts)
        updates = foreach.mul(velocities, [a.lr for a in group])
        return [(update, {"m": velocity}) for update, velocity in zip(updates, velocities, strict=True)]

    def _decayed(self, asked: Asked) -> Update:
        if asked.weights is None or not self.weight_decay:
            return asked.contrast
        return _plus([asked.weights * -self.weight_decay], 1.0, [asked.contrast])[0]


def _plus(bases: Sequence[Tensor], factor: float, contrasts: Sequence[Update]) -> list[Tensor]:
    """factor * base + contrast of each; factors by one product each, all the others in one launch."""
    plain = [(c, b) for c, b in zip(contrasts, bases, strict=True) if not isinstance(c, OuterSum)]
    sums = iter(foreach.add([c for c, _ in plain], [b for _, b in plain], factor))
    return [
        c.add_to(b, factor) if isinstance(c, OuterSum) else next(sums) for c, b in zip(contrasts, bases, strict=True)
    ]
