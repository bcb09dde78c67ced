"""Formats of given numbers of bits: as many before the point as the ranges take, the others behind it.

Before the point there is room for the bounds of all boxes, the targets and twice the largest output that `cpu` finds
(one beyond it saturates, as a register does), for the inputs, and for weights and biases: for what they are, or twice
as much where they are to learn.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from mep_hw.activation import Box
from mep_hw.errors import CapabilityError
from mep_hw.fpga.measured import Reference
from mep_hw.fpga.numbers import bits_for, reals
from mep_hw.fpga.quantised import Formats, bias_of
from mep_hw.fpga.spec import Format
from mep_hw.model import Model

ROOM = 2.0  # how much larger than seen outputs may become, and weights that learn
FINEST = 31  # bits behind the point of any format
WIDEST = 32  # bits of any format


def formats_of(
    model: Model, known: Reference, state_bits: int, weight_bits: int, *, input_fraction: int = 8, learning: bool
) -> Formats:
    """The finest formats with these bits that hold the model and the samples.

    Raises:
        CapabilityError: the bits do not hold even the whole part; names what.
    """
    room = ROOM if learning else 1.0
    boxes = [layer.activation for layer in model.layers if isinstance(layer.activation, Box)]
    most = max(ROOM * known.largest, float(known.targets.abs().max()))
    low, high = min(-most, *(box.low for box in boxes), 0.0), max(most, *(box.high for box in boxes), 0.0)
    state = _finest(low, high, state_bits, "states")
    weights = tuple(
        _finest(room * float(w.min()), room * float(w.max()), weight_bits, f"weights of layer {layer}")
        for layer, w in enumerate(model.weights, start=1)
    )
    biases = np.concatenate([bias_of(model, layer) for layer in range(1, model.depth + 1)]) * room
    ends = min(0.0, float(known.inputs.min())), max(0.0, float(known.inputs.max()))
    return Formats(
        state, Format(bits=_bits(ends, input_fraction, "inputs"), fraction=input_fraction),
        _bits((float(biases.min()), float(biases.max())), state.fraction, "biases"), weights, ends,
    )  # fmt: skip


def whole_bits(model: Model, most: int) -> int | None:
    """Bits that hold every weight exactly, if `most` do: weights that have been trained as whole numbers."""
    found = [_exact(reals(weight)) for weight in model.weights]
    return max((bits for bits in found if bits is not None), default=None) if _all_below(found, most) else None


def _all_below(found: Iterable[int | None], most: int) -> bool:
    return all(bits is not None and bits <= most for bits in found)


def _exact(values: np.ndarray) -> int | None:
    for fraction in range(FINEST + 1):
        scaled = values * 2.0**fraction
        if (scaled == np.rint(scaled)).all():
            return bits_for(float(values.min()), float(values.max()), fraction)
    return None


def _finest(low: float, high: float, bits: int, what: str) -> Format:
    if low == high == 0:
        high = 1.0  # of zeros, which have no size of their own
    for fraction in range(FINEST, -1, -1):
        if bits_for(low, high, fraction) <= bits:
            return Format(bits=bits, fraction=fraction)
    rule = f"need {bits_for(low, high, 0)} bits before the point, and there are {bits}"
    raise CapabilityError("fpga", what, f"{low:g} to {high:g}", rule=rule, fix="take more bits")


def _bits(ends: tuple[float, float], fraction: int, what: str) -> int:
    bits = max(2, bits_for(*ends, fraction))
    if bits > WIDEST:
        rule = f"need {bits} bits with {fraction} behind the point, and no format has more than {WIDEST}"
        raise CapabilityError("fpga", what, f"{ends[0]:g} to {ends[1]:g}", rule=rule, fix="scale the data")
    return bits
