"""Where the lines of a coupling lie: over how many arrays, and how many lines each of them holds."""

from __future__ import annotations

from dataclasses import dataclass

from mep_hw.array.scale import pairing_of
from mep_hw.cards.array import ArrayOptions
from mep_hw.cards.schema import DeviceCard


@dataclass(frozen=True)
class Layout:
    """A coupling (out, in) on a grid of arrays.

    words, bits: word lines (in) and bit lines (out) of each row and column of the grid.
    pair: every place of the grid holds two arrays, whose difference is the weight.
    """

    words: tuple[int, ...]
    bits: tuple[int, ...]
    pair: bool

    @property
    def arrays(self) -> int:
        """Arrays at one place of the grid."""
        return 2 if self.pair else 1


def layout(shape: tuple[int, int], options: ArrayOptions, device: DeviceCard) -> Layout:
    """The layout of weights of `shape`; an array with a reference gives up one word line and one bit line."""
    pair = pairing_of(options, device) == "differential"
    spare = 0 if pair else 1
    words, bits = (shares(n, most - spare) for n, most in zip(shape[::-1], (options.rows, options.cols), strict=True))
    return Layout(words, bits, pair)


def shares(lines: int, room: int) -> tuple[int, ...]:
    """Lines of each array: as even as possible, so that no array is left with a few."""
    count = -(-lines // room)
    return tuple(lines // count + (1 if k < lines % count else 0) for k in range(count))
