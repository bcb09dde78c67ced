"""When a run of brian2 ends: by samples that have come to rest, or by the number of steps.

Before each Euler step the largest gap of every sample is compared with its tolerance, as in `mep_hw.flow`. A sample
within it stops for good (`live` becomes 0), which is why results do not depend on what else is in the batch; when none
is left, the run ends.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mep_hw.brian.paths import Floats


class Rest:
    """Follows one run.

    Args:
        gaps, live: of every layer, (rows * units,), views of what the simulator computes with; None of `gaps` is
            written.
        limit: (rows,) tolerance; 0 never stops.
        steps: most steps.
        stop: ends the run with the present step.
    """

    def __init__(
        self, gaps: list[Floats], live: list[Floats], limit: Floats, steps: int, stop: Callable[[], None]
    ) -> None:
        rows = len(limit)
        self.gaps = [gap.reshape(rows, -1) for gap in gaps]
        self.live = [value.reshape(rows, -1) for value in live]
        self.limit, self.stop, self.step = limit, stop, 0
        self.sweeps: NDArray[np.int64] = np.full(rows, steps)
        self.residual = np.full(rows, np.inf)
        self.moving = np.ones(rows, dtype=bool)

    def look(self) -> None:
        """Called once a step, when gaps are known and nothing has moved yet."""
        self.step += 1
        largest = np.max([gap.max(1) for gap in self.gaps], axis=0)
        self.residual = np.where(self.moving, largest, self.residual)
        arrived = self.moving & (self.residual <= self.limit) & (self.limit > 0)
        if not arrived.any():
            return
        self.sweeps[arrived] = self.step
        self.moving &= ~arrived
        for live in self.live:
            live[arrived] = 0.0
        if not self.moving.any():
            self.stop()
