"""CRC-32 of what nodes hold: both holders of a cut coupling must have the same, before and after every update.

Of an array it is the CRC (as in zlib and Ethernet) of its words as WRITE and READ send them: 32 bits, little endian,
row by row. It finds copies that have come apart; it is no protection against anyone.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from mep_hw.errors import MachineError
from mep_hw.fpga.node import Node
from mep_hw.fpga.spec import Spec, Values, Whole


def crc32(array: Whole) -> int:
    return zlib.crc32(array.astype("<i4").tobytes())


def cuts(spec: Spec, held: Sequence[Sequence[Whole]]) -> dict[int, tuple[int, int]]:
    """By cut coupling, the CRC of the copies below and above the cut, from what nodes hold (`Node.held`)."""
    found: dict[int, tuple[int, int]] = {}
    for index in range(len(spec.nodes) - 1):
        low, high = Node(spec, index), Node(spec, index + 1)
        copies = held[index][len(low.couplings) - 1], held[index + 1][0]
        found[high.first] = crc32(copies[0]), crc32(copies[1])
    return found


def gathered(spec: Spec, held: Sequence[Sequence[Whole]]) -> Values:
    """The values of the whole model from what its nodes hold.

    Raises:
        MachineError: the copies of a cut coupling differ.
    """
    for coupling, (low, high) in cuts(spec, held).items():
        if low != high:
            raise MachineError(
                "cluster", f"coupling {coupling}", f"{low:08x} below its cut, {high:08x} above",
                rule="both copies must have the same CRC-32", fix="write the weights anew, and look at that link",
            )  # fmt: skip
    weights: dict[int, Whole] = {}
    biases: list[Whole] = []
    for index, arrays in enumerate(held):
        node = Node(spec, index)
        weights |= zip(node.couplings, arrays, strict=False)
        biases += arrays[len(node.couplings) :]
    return Values(tuple(weights[c] for c in range(1, spec.depth + 1)), tuple(biases))
