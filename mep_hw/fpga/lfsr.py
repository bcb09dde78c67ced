"""Shift registers that draw the numbers of stochastic rounding: 32 bits, maximal period, linear in GF(2).

One draw is x ^= x << 13, x ^= x >> 17, x ^= x << 5 (Marsaglia, "Xorshift RNGs", J. Stat. Softw. 8(14), 2003): a linear
feedback shift register that moves many bits at once, in three XORs of hardware, of period 2^32 - 1. The upper bits are
used. Lanes begin at states that SplitMix64 draws from one seed, so that they do not follow each other.
"""

from __future__ import annotations

import numpy as np

from mep_hw.fpga.spec import Spec, Whole

_MASK = np.int64(0xFFFFFFFF)


def advance(register: Whole) -> Whole:
    """One draw of every register, (lanes,) int64 in 1 .. 2^32 - 1."""
    register = (register ^ (register << 13)) & _MASK
    register = register ^ (register >> 17)
    return (register ^ (register << 5)) & _MASK


def seeded(spec: Spec) -> tuple[Whole, ...]:
    """Initial registers (lanes,): those of couplings 1 to L, then those of the biases of layers 1 to L."""
    assert spec.learning is not None
    state, drawn = spec.learning.seed, list[int]()
    while len(drawn) < 2 * spec.depth * spec.lanes:
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        mixed = state
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB % 2**64
        word = (mixed ^ (mixed >> 31)) >> 32
        if word:  # a register of zeros would stay there
            drawn.append(word)
    return tuple(np.array(drawn, dtype=np.int64).reshape(2 * spec.depth, spec.lanes))
