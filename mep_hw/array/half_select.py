"""Half-selected cells: how often a cell sees half of a write voltage because one of its two lines fires.

An array without selectors writes by the V/2 scheme (Gokmen and Vlasov, Front. Neurosci. 10, 333, 2016, who assume that
half a voltage changes nothing): the lines of a selected cell are at +V/2 and -V/2, all others at ground.

Outer products. A slot is executed once for each pair of polarities (p, q): word lines of sign p and bit lines of sign
q fire, in the direction p q. A cell is half-selected where exactly one of its lines fires. Summed over both pairs of a
direction, with |w_s| and |b_s| for a line that fires at all and n for the coincidences in that direction,

    half = sum_s |w_s| + sum_s |b_s| - 2 n

so that a coincidence up spares its cell two halves up: single lines disturb in both directions alike.

Row writes. One word line is written after the other, all of its cells at once until the last has its pulses: cells that
are done see halves, and so do those of the array's other word lines behind bit lines that still fire.

Not valid for machines that skip a pair of polarities without any line to fire, and for other schemes (V/3).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mep_hw.schedule.ir import Outer

Pair = tuple[Tensor, Tensor]


def in_outer(trains: Outer, up: Tensor, down: Tensor) -> Pair:
    """Half-selected slots of each cell up and down, while `trains` are executed.

    Args:
        up, down: the pulses of each cell, whole numbers (arrays, out, in); the second array of a pair has its bit lines
            the other way round.
    """
    words, bits = (side.abs().sum(0, dtype=up.dtype) for side in (trains.words, trains.bits))
    both = words + bits[:, None]
    return both - 2 * up, both - 2 * down


def in_rows(up: Tensor, down: Tensor, words: Sequence[int], bits: Sequence[int]) -> Pair:
    """The same while these pulses are written line by line.

    Args:
        words, bits: lines of each array that the coupling is spread over, word lines (in) and bit lines (out).
    """

    def one_array(pulses: Tensor) -> Tensor:
        by_word = pulses.amax(1, keepdim=True) - pulses  # the line goes on after this cell has had its own
        by_bit = pulses.sum(2, keepdim=True, dtype=pulses.dtype) - pulses  # other lines are written
        return by_word + by_bit

    def all_arrays(pulses: Tensor) -> Tensor:
        bands = [band.split(list(words), 2) for band in pulses.split(list(bits), 1)]
        return torch.cat([torch.cat([one_array(part) for part in band], dim=2) for band in bands], dim=1)

    return all_arrays(up), all_arrays(down)
