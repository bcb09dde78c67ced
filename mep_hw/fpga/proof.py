"""How many bits every sum needs: bounds over all states and inputs within their ranges, so that nothing ever wraps.

With the weights given the bound is exact in the sense that some states reach it. Where weights learn on the chip they
may become anything that their format holds, and the bound is over all of those. Partial sums are covered, whatever the
order of their terms: a bound adds all positive terms, or all negative ones.
"""

from __future__ import annotations

import numpy as np

from mep_hw.fpga.spec import Format, Layer, Spec, Sums, Values, Whole

Bounds = tuple[int, int]  # least and most


def sums(spec: Spec, values: Values | None) -> tuple[Sums, ...]:
    """Bits of every layer's sums, for these weights and biases, or (None) for all that their formats can hold.

    `spec.sums` is not looked at.
    """
    return tuple(_of_layer(spec, values, layer) for layer in range(1, spec.depth + 1))


def bits(bounds: Bounds) -> int:
    """Of the narrowest signed number that holds both."""
    least, most = bounds
    return max(most.bit_length(), (-least - 1).bit_length() if least < 0 else 0) + 1


def _of_layer(spec: Spec, values: Values | None, number: int) -> Sums:
    layer, below = spec.layers[number], spec.layers[number - 1]
    weights = None if values is None else values.weights[number - 1]
    up = _products(weights, spec.weights[number - 1], below, below.units)
    down = None
    if number < spec.depth:
        above = spec.layers[number + 1]
        back = None if values is None else values.weights[number].T
        down = _products(back, spec.weights[number], above, above.units)
    shifts = spec.shifts(number)
    held = layer.bias
    bias = (
        (held.least, held.most)
        if values is None
        else (int(values.biases[number - 1].min()), int(values.biases[number - 1].max()))
    )
    total = _wider(_shifted(bias, shifts[0]), _shifted(up, shifts[1]))
    if down is not None:
        total = _wider(total, _shifted(down, shifts[2]))
    total = _wider(total, _shifted(_leak(spec, number), spec.headroom(number)))
    rounding = spec.headroom(number) + spec.step_shift
    total = total[0], total[1] + (1 << rounding >> 1)
    return Sums(up=bits(up), down=0 if down is None else bits(down), total=bits(total))


def _products(weights: Whole | None, form: Format, sending: Layer, count: int) -> Bounds:
    """Of sums of weights (rows, senders) times states of the sending layer."""
    if weights is None:
        extremes = [w * s for w in (form.least, form.most) for s in (sending.low, sending.high)]
        return count * min(0, *extremes), count * max(0, *extremes)
    ends = np.stack([weights * sending.low, weights * sending.high])
    least, most = np.minimum(ends.min(0), 0).sum(1), np.maximum(ends.max(0), 0).sum(1)
    return int(least.min()), int(most.max())


def _leak(spec: Spec, number: int) -> Bounds:
    """Of pull - s, with every target in the read-out's format and |beta| at most 2^16."""
    layer = spec.layers[number]
    if number < spec.depth:
        return -layer.high, -layer.low
    strength = spec.beta
    span = max(layer.state.most - layer.low, layer.high - layer.state.least)
    pull = (strength * span >> spec.beta_fraction) + 1
    return -pull - layer.high, pull - layer.low


def _shifted(bounds: Bounds, shift: int) -> Bounds:
    return bounds[0] << shift, bounds[1] << shift


def _wider(a: Bounds, b: Bounds) -> Bounds:
    """Of a sum, and of each of its terms alone."""
    return min(a[0] + b[0], a[0], b[0]), max(a[1] + b[1], a[1], b[1])
