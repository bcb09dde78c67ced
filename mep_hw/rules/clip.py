"""Gradient clipping for any rule: a contrast longer than `limit` (Frobenius norm) is shortened to it.

Each coupling is clipped by itself, because no layer of a machine knows the contrasts of the others. Pointless before a
rule whose update does not depend on the size of the contrast, except for what it keeps in its momentum.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mep_hw.outersum import OuterSum, Update
from mep_hw.ranges import POSITIVE, require
from mep_hw.rules.base import Asked, Rule, Wrapper


@dataclass(frozen=True)
class Clipped(Wrapper):
    """limit > 0, in units of the contrast.

    Raises:
        InputError: a limit out of range.
    """

    limit: float = 1.0

    def __post_init__(self) -> None:
        require("clipping", "limit", self.limit, POSITIVE, "give the length that contrasts usually have")

    def before(self, asked: Asked) -> Update:
        contrast = asked.contrast
        # In float64: the squares of large float32 entries overflow, and a contrast would be shortened to nothing.
        size = contrast.norm() if isinstance(contrast, OuterSum) else contrast.norm(dtype=torch.float64)
        share = self.limit / size.clamp_min(self.limit)
        if share.device.type == "cpu":
            return contrast * float(share)
        return scaled(contrast, share)  # elsewhere the host would wait for the number, so it stays there

    def for_biases(self) -> Rule:
        return Clipped(self.rule.for_biases(), self.limit)


def scaled(contrast: Update, factor: Tensor) -> Update:
    """The contrast times a number that only its device knows."""
    return replace(contrast, left=contrast.left * factor) if isinstance(contrast, OuterSum) else contrast * factor
