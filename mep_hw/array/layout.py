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
    """The layout of weights of `shape` in cells of `device`."""
    return spread(shape, options, pairing_of(options, device))


def spread(shape: tuple[int, int], options: ArrayOptions, pairing: str) -> Layout:
    """The layout of weights of `shape` (out, in) in cells of this pairing."""
    sizes, lost = (options.rows, options.cols), spare(pairing)
    words, bits = (shares(lines, most - lost) for lines, most in zip(shape[::-1], sizes, strict=True))
    return Layout(words, bits, pairing == "differential")


def spare(pairing: str) -> int:
    """Word lines, and as many bit lines, that an array gives up for its reference."""
    return 0 if pairing == "differential" else 1


def shares(lines: int, room: int) -> tuple[int, ...]:
    """Lines of each array: as even as possible, so that no array is left with a few."""
    count = -(-lines // room)
    return tuple(lines // count + (1 if k < lines % count else 0) for k in range(count))
