"""Reading weights back at the end of a schedule, so that what is owed is what they really miss.

All of a coupling is read word line by word line. Where an update has few directions, only those can be read: with an
orthonormal basis B of its left factors, B^T W takes one transposed product a column. What the basis does not see of the
errors stays unseen.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from mep_hw.cards.array import ArrayOptions
from mep_hw.outersum import OuterSum
from mep_hw.schedule.ir import Read, Schedule


def with_read(schedule: Schedule, options: ArrayOptions) -> Schedule:
    """The schedule with a read of what the card wants read at its end."""
    intended, writing = schedule.intended, options.writing
    basis = None
    if writing.read_what == "written" and isinstance(intended, OuterSum) and 0 < intended.rank < intended.shape[1]:
        basis = torch.linalg.qr(intended.left)[0]
    return replace(schedule, cycles=(*schedule.cycles, Read(basis, writing.reads)))
