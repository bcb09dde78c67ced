"""Arrays driven line by line and slot by slot, written down as voltages: the slow reference of half-selection."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import torch
from torch import Tensor

from mep_hw.array.layout import Layout
from mep_hw.schedule import Outer

F64 = torch.float64
OUT, IN = 5, 9
WORDS, BITS = (5, 4), (3, 2)  # how the lines are shared between arrays of 5 x 3
PLACE, PAIRS = Layout(WORDS, BITS, pair=False), Layout(WORDS, BITS, pair=True)


def trains(slots: int = 12, seed: int = 0, lowest: int = -1) -> Outer:
    """Random trains; with `lowest` 0 the bit lines have one polarity."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(-1, 2, (slots, IN), generator=generator, dtype=torch.int8)
    bits = torch.randint(lowest, 2, (slots, OUT), generator=generator, dtype=torch.int8)
    return Outer(words, bits, (slots,))


def row_pulses(seed: int = 0) -> Tensor:
    return torch.randint(-4, 5, (OUT, IN), generator=torch.Generator().manual_seed(seed), dtype=torch.int32)


def outer_voltages(cycle: Outer, sign: int = 1) -> Iterator[Tensor]:
    """The voltage of every cell (out, in), in units of a full pulse, in each of the phases of every slot."""
    for words, bits in zip(cycle.words.tolist(), cycle.bits.tolist(), strict=True):
        for p, q in product((1, -1), (1, -1)):
            if not bool((cycle.words == p).any()) or not bool((cycle.bits == q).any()):
                continue
            row = [p * q / 2 if w == p else 0.0 for w in words]
            column = [-sign * p * q / 2 if b == q else 0.0 for b in bits]
            # the second array of a pair has its bit lines exchanged, so its word lines fire the other way round
            yield torch.tensor([[sign * r - c for r in row] for c in column], dtype=F64)


def row_voltages(pulses: Tensor) -> Iterator[Tensor]:
    """The same for row writes, each array by itself; arrays work at one time, so the largest of their slots counts."""
    for i, direction in product(range(IN), (1, -1)):
        first = 0 if i < WORDS[0] else WORDS[0]
        lines = range(first, first + (WORDS[0] if first == 0 else WORDS[1]))
        left = (direction * pulses[:, i]).clamp(min=0)
        while bool((left > 0).any()):
            volt = torch.zeros(OUT, IN, dtype=F64)
            for begin, end in ((0, BITS[0]), (BITS[0], OUT)):
                if bool((left[begin:end] > 0).any()):
                    volt[begin:end, i] += direction / 2
                for j in range(begin, end):
                    if left[j] > 0:
                        volt[j, list(lines)] += direction / 2
            yield volt
            left = (left - 1).clamp(min=0)


def counted(volts: Iterator[Tensor]) -> dict[float, Tensor]:
    every = torch.stack(list(volts))
    return {v: (every == v).sum(0) for v in (1.0, -1.0, 0.5, -0.5)}
