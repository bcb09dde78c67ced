"""SDMEP: SMEP with Dion, a low-rank form of Muon, for matrices with many entries."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from torch import Tensor

from mep_hw.optimizers.options import WHERE
from mep_hw.optimizers.smep import SMEPOptimizer
from mep_hw.ranges import SHARE, SIZE, require
from mep_hw.rules import Dion, Rule


class SDMEPOptimizer(SMEPOptimizer):
    """Dion for matrices with more than `dion_thresh` entries, Muon below, Adam for the rest.

    Args:
        rank_frac: rank of Dion's updates, as a share in (0, 1] of the shorter side.
        dion_thresh: number of entries, at least 0.
        use_error_feedback: keep what Dion's rank leaves out, and what rounding loses, for the next step.
        others: as for `SMEPOptimizer`.

    Raises:
        InputError, ModelError: as `SMEPOptimizer` does.
    """

    _own = (*SMEPOptimizer._own, "rank_frac", "dion_thresh")

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 0.02,
        *,
        rank_frac: float = 0.2,
        dion_thresh: float = 1e5,
        use_error_feedback: bool = True,
        **others: Any,
    ) -> None:
        require(WHERE, "rank_frac", rank_frac, SHARE, "leave it out for the default")
        require(WHERE, "dion_thresh", dion_thresh, SIZE, "leave it out for the default")
        self.rank_frac, self.dion_thresh = rank_frac, dion_thresh
        super().__init__(params, lr, use_error_feedback=use_error_feedback, **others)

    def matrix_rule(self, group: dict[str, Any], shape: tuple[int, ...]) -> Rule:
        if math.prod(shape) <= self.dion_thresh:
            return super().matrix_rule(group, shape)
        return Dion(fraction=self.rank_frac, momentum=group["momentum"], feedback=self.use_error_feedback)
