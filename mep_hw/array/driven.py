"""What the lines and cells of a coupling see while a cycle is executed: whole pulses, halves, and charged lines.

Arrays without selectors are written by the V/2 scheme (Gokmen and Vlasov, Front. Neurosci. 10, 333, 2016, who assume
that half a voltage changes nothing): the lines of a selected cell are at +V/2 and -V/2, all others at ground. A cell is
half-selected where exactly one of its lines fires, so with |w| and |b| for the times that its lines fire and n for its
pulses, all in one direction, it sees |w| + |b| - 2 n halves. That holds for every cycle; they differ in the lines.

Outer products. The lines of a phase have one polarity p of the word lines and one q of the bit lines, in the direction
p q, and phases without lines of a polarity are skipped. A word line of sign p therefore fires in as many phases as
there are polarities on the bit lines, and the other way round. In pairs of cells that hold one sign only, pulses down
go up in the other array, at the same time.

Row writes. One line is written after the other, all of its cells at once until the last has its pulses.

Not valid for other schemes (V/3), and for selectors that block half a voltage: set `writing.disturb` to 0 for those.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from mep_hw.array.layout import Layout
from mep_hw.schedule.ir import Along, Outer

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Driven:
    """Counts in the directions up and down, the leading dimension of `words` and `bits` too.

    pulses: of each cell, up and down, each (arrays, out, in).
    words: times that word lines fire, (2, arrays, columns of the grid, in): a coupling's line is one in each array.
    bits: the same of bit lines, (2, arrays, rows of the grid, out).
    """

    layout: Layout
    pulses: Pair
    words: Tensor
    bits: Tensor

    @cached_property
    def halves(self) -> Pair:
        """Half-selected times of each cell up and down, (arrays, out, in)."""
        words = torch.cat([self.words[:, :, [b]].expand(-1, -1, n, -1) for b, n in enumerate(self.layout.bits)], 2)
        bits = torch.cat([self.bits[:, :, [i]].expand(-1, -1, n, -1) for i, n in enumerate(self.layout.words)], 2)
        both = words + bits.mT
        return both[0] - 2 * self.pulses[0], both[1] - 2 * self.pulses[1]

    @property
    def line_pulses(self) -> int:
        """Of all lines together."""
        return int(self.words.sum()) + int(self.bits.sum())


def in_outer(trains: Outer, layout: Layout, pulses: Pair, *, one_sided: bool) -> Driven:
    """While `trains` are executed, whose coincidences are `pulses` (arrays, out, in).

    Args:
        one_sided: both arrays of a pair are pulsed up only.
    """
    word, bit = (torch.stack([(t > 0).sum(0), (t < 0).sum(0)]) for t in (trains.words, trains.bits))  # by sign
    there = [[bool(counts.any()) for counts in side] for side in (word, bit)]  # phases without lines are skipped

    def fired(lines: Tensor, others: list[bool]) -> Tensor:
        up = lines[0] * others[0] + lines[1] * others[1]
        down = lines[0] * others[1] + lines[1] * others[0]
        return _both_arrays(torch.stack([up, down]), layout.pair, one_sided)

    words, bits = fired(word, there[1]), fired(bit, there[0])
    return Driven(
        layout, pulses, words[:, :, None].expand(-1, -1, len(layout.bits), -1),
        bits[:, :, None].expand(-1, -1, len(layout.words), -1),
    )  # fmt: skip


def in_rows(pulses: Pair, layout: Layout, along: Along = "words") -> Driven:
    """While these pulses, (arrays, out, in) each, are written line by line."""
    both = torch.stack(pulses)
    by_column, by_row = both.split(layout.bits, 2), both.split(layout.words, 3)
    if along == "words":
        words = torch.stack([part.amax(2) for part in by_column], 2)
        bits = torch.stack([part.sum(3, dtype=both.dtype) for part in by_row], 2)
    else:
        words = torch.stack([part.sum(2, dtype=both.dtype) for part in by_column], 2)
        bits = torch.stack([part.amax(3) for part in by_row], 2)
    return Driven(layout, pulses, words, bits)


def _both_arrays(one: Tensor, pair: bool, one_sided: bool) -> Tensor:
    """(2, arrays, lines) from what one array alone would see, (2, lines)."""
    if not pair:
        return one[:, None]
    if one_sided:  # both directions go up, each in its own array
        return torch.stack([one, torch.zeros_like(one)])
    return torch.stack([one, one.flip(0)], 1)
