"""Adam (Kingma and Ba 2015, arXiv 1412.6980) as a plain baseline, in the convention of torch.optim.Adam.

    g = contrast - weight_decay W,  m <- beta1 m + (1 - beta1) g,  v <- beta2 v + (1 - beta2) g^2
    W <- W + lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

It needs the dense contrast and one division per weight: a digital rule, not one that an array can execute in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mep_hw import foreach
from mep_hw.outersum import Update, dense
from mep_hw.ranges import BELOW_ONE, NOT_NEGATIVE, POSITIVE, require
from mep_hw.rules.base import Asked, Memory
from mep_hw.rules.batched import Batched

BIAS_LR = 0.003  # for the biases of rules that are made for matrices


@dataclass(frozen=True)
class Adam(Batched):
    """beta1 and beta2 in [0, 1), eps > 0, weight_decay >= 0 (L2, added to the gradient).

    Raises:
        InputError: a number out of range.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0
    name = "adam"

    def __post_init__(self) -> None:
        require("rule adam", "beta1", self.beta1, BELOW_ONE, "0.9 is usual")
        require("rule adam", "beta2", self.beta2, BELOW_ONE, "0.999 is usual")
        require("rule adam", "eps", self.eps, POSITIVE, "1e-8 is usual")
        require("rule adam", "weight_decay", self.weight_decay, NOT_NEGATIVE, "0 switches it off")

    @property
    def needs_weights(self) -> bool:  # type: ignore[override]
        return self.weight_decay > 0

    def init(self, shape: tuple[int, ...], generator: torch.Generator, dtype: torch.dtype) -> Memory:
        zeros = torch.zeros(shape, dtype=dtype, device=generator.device)
        return {"m": zeros, "v": zeros.clone(), "t": torch.zeros((), dtype=torch.int64)}

    def several(self, group: Sequence[Asked]) -> list[tuple[Update, Memory]]:
        g = [self._decayed(a) for a in group]
        t = [int(a.memory["t"]) + 1 for a in group]  # waits for nobody: it stays on the CPU
        m = foreach.lerp([a.memory["m"] for a in group], g, 1 - self.beta1)
        v = foreach.mul([a.memory["v"] for a in group], [self.beta2] * len(group))
        foreach.addcmul_(v, g, g, 1 - self.beta2)
        scale = foreach.div(v, [1 - self.beta2**n for n in t])
        foreach.sqrt_(scale)
        foreach.add_(scale, self.eps)
        updates = foreach.div(m, scale)
        foreach.mul_(updates, [a.lr / (1 - self.beta1**n) for a, n in zip(group, t, strict=True)])
        memories = [{"m": m[k], "v": v[k], "t": torch.tensor(n)} for k, n in enumerate(t)]
        return list(zip(updates, memories, strict=True))

    def _decayed(self, asked: Asked) -> Tensor:
        g = dense(asked.contrast)
        return g if asked.weights is None or not self.weight_decay else g - self.weight_decay * asked.weights
