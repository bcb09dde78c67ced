"""Pulses that each cell has had, exact for any number of them, at the cost of adding small integers.

Counts of one update are int32, and adding these to an int64 total is ten times slower than to an int32 one. So they are
added to a small total first, which is emptied into the large one before a cell could have had more than it can hold.
"""

from __future__ import annotations

import torch
from torch import Tensor

_MOST = 2**30


class Tally:
    """Counts of (cells,) from 0, on `device`."""

    def __init__(self, cells: int, device: torch.device) -> None:
        self._large = torch.zeros(cells, dtype=torch.int64, device=device)
        self._small = torch.zeros(cells, dtype=torch.int32, device=device)
        self._reach = 0  # no count of the small total is above it

    def add(self, pulses: Tensor) -> None:
        """Count (cells,) integers, 0 or above."""
        most = int(pulses.amax()) if len(pulses) else 0
        if self._reach + most > _MOST:
            self.total()
        if most > _MOST:
            self._large += pulses
            return
        self._small += pulses
        self._reach += most

    def total(self) -> Tensor:
        """All counts, (cells,) int64; the tensor itself, which later pulses change."""
        self._large += self._small
        self._small.zero_()
        self._reach = 0
        return self._large
