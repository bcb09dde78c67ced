"""From a model and its card to whole numbers: the scale of every drive, the populations, and what does not fit.

A weight is (step / 2) w with w even, as Loihi keeps mixed signs, and a unit sends whole multiples of
2^-payload_fraction. So products of coupling c are in units of step_c 2^-(1 + payload_fraction); those into one layer
are shifted left to the finest of them, and where that is coarser than the state itself, to the state's own unit.

What does not fit in 32 bits in the worst case (all weights and all senders at their bounds) is refused before it is
run, so nothing ever wraps. Average pooling divides by a power of two, which is exact here; the chip would need synapses
with more bits, or a population in between, for it (see docs/loihi.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mep_hw.activation import Activation, Box, Sigmoid, Tanh
from mep_hw.cards.loihi import LoihiOptions
from mep_hw.coupling import Conv, Coupling, Dense
from mep_hw.errors import CapabilityError
from mep_hw.loihi.bounds import WORD
from mep_hw.loihi.network import Population, table
from mep_hw.model import Model

LARGEST_WEIGHT = 256  # of the whole numbers that stand for weights of 8 bits with mixed sign
EXACT = 50  # bits of a drive's terms before rounding; float64, in which the emulator adds them, holds 53
REACH = {Tanh: 3, Sigmoid: 4}  # log2 of where a smooth unit is flat to within 1e-6


@dataclass(frozen=True)
class Scales:
    """Powers of two: per coupling the left shift of its products forward and backward, per layer its `shift`."""

    forward: tuple[int, ...]
    backward: tuple[int, ...]
    shifts: tuple[int, ...]


def scales(model: Model, steps: Sequence[float], options: LoihiOptions) -> Scales:
    """The scales for couplings with these register steps, each a power of two."""
    finest = [-int(math.log2(step)) for step in steps]
    shifts, common = list[int](), list[int]()
    for layer in range(1, model.depth + 1):
        unit = max(finest[c] for c in _into(model, layer))
        shift = unit + 1 + options.payload_fraction - options.state_fraction
        shifts.append(max(shift, 0))
        common.append(unit + max(-shift, 0))
    ends = [(k.source, k.target) for k in model.couplings]
    return Scales(
        tuple(common[target - 1] - own for own, (_, target) in zip(finest, ends, strict=True)),
        tuple(common[source - 1] - own if source else 0 for own, (source, _) in zip(finest, ends, strict=True)),
        tuple(shifts),
    )


def check(model: Model, found: Scales, options: LoihiOptions, halved: int, name: str) -> None:
    """Refuse what cannot be held or computed in whole numbers.

    Args:
        halved: how many times the step of settling halves a time constant.

    Raises:
        CapabilityError: names the layer or coupling, and the limit.
    """
    for coupling in model.couplings:
        for pool in (*coupling.before, *coupling.after):
            if pool.size & (pool.size - 1):
                where, rule = f"coupling {coupling.name}", "averages over no power of two, which no shift does"
                fix = "pool by 2 or 4"
                raise CapabilityError(f"backend {name}", where, f"pool of {pool.size}", rule=rule, fix=fix)
    most = [sent_at_most(model, layer, options) for layer in range(model.depth + 1)]
    for layer in range(1, model.depth + 1):
        shift = found.shifts[layer - 1]
        bits = options.state_bits + halved + max(shift, options.beta_fraction)
        if bits > EXACT:
            raise CapabilityError(
                f"backend {name}", f"layer {layer}", f"a drive of {bits} bits",
                rule=f"is exact up to {EXACT} only; {shift} of them are for small weights, {halved} for the step",
                fix="start from larger weights, or take a larger settle.euler_step",
            )  # fmt: skip
        worst = 0
        for c, back in ((c, False) for c in model.incoming[layer]):
            worst += _fan_in(model.couplings[c], back) * most[model.couplings[c].source] << found.forward[c]
        for c, back in ((c, True) for c in model.outgoing[layer]):
            worst += _fan_in(model.couplings[c], back) * most[model.couplings[c].target] << found.backward[c]
        if worst * LARGEST_WEIGHT > WORD:
            raise CapabilityError(
                f"backend {name}", f"layer {layer}", f"a drive of up to {worst * LARGEST_WEIGHT}",
                rule=f"does not fit an accumulator of 32 bits ({WORD})",
                fix="take fewer loihi.payload_bits or payload_fraction, or fewer units",
            )  # fmt: skip


def check_model(model: Model, name: str) -> None:
    """Refuse what neither format computes.

    Raises:
        CapabilityError: names it.
    """
    if not model.loss.in_energy:
        rule, fix = "needs exponentials, which the chip has not", "use squared_error"
        raise CapabilityError(f"backend {name}", "cost", model.loss.name, rule=rule, fix=fix)
    for coupling in model.couplings:
        if coupling.routes_by_argmax:
            rule, fix = "is no sum of synapses", "use average pooling"
            raise CapabilityError(f"backend {name}", f"coupling {coupling.name}", "max pooling", rule=rule, fix=fix)
    for number, layer in enumerate(model.layers, start=1):
        if isinstance(layer.activation, Box) and layer.activation.gain != 1:
            rule, fix = "must be 1, as units have no gain of their own", "put the gain into the weights"
            raise CapabilityError(f"backend {name}", f"layer {number}, gain", layer.activation.gain, rule=rule, fix=fix)


def sent_at_most(model: Model, layer: int, options: LoihiOptions) -> int:
    """Largest size of what units of a layer (0: the input) can send, in the payload format."""
    limit = 2 ** (options.payload_bits - 1)
    activation = None if layer == 0 else model.layers[layer - 1].activation
    if activation is None:
        return limit
    return min(limit, math.ceil(max(abs(activation.low), abs(activation.high)) * 2**options.payload_fraction))


def populations(
    model: Model, biases: Sequence[Tensor | None], found: Scales, options: LoihiOptions, name: str
) -> tuple[Population, ...]:
    """The units of every layer; biases of convolutions are spread over their positions.

    Raises:
        CapabilityError: an activation or a bias that cannot be held.
    """
    made: list[Population] = []
    for number, (layer, bias) in enumerate(zip(model.layers, biases, strict=True), start=1):
        low, high, curve = _bounds(layer.activation, options, f"layer {number}", name)
        reach = _reach(layer.activation)
        shape = None if curve is None else table(curve, options.state_fraction, options.curve_bits, reach)
        whole = held_bias(model, number, bias, options, name).reshape(-1).to(torch.int64).numpy()
        made.append(Population(whole, found.shifts[number - 1], low, high, shape))
    return tuple(made)


def held_bias(model: Model, layer: int, bias: Tensor | None, options: LoihiOptions | None, name: str) -> Tensor:
    """What every unit of a layer (from 1) adds to its drive, (*shape), float64; whole numbers where there are formats.

    Raises:
        CapabilityError: a bias beyond the format of states.
    """
    of = model.layers[layer - 1]
    value = torch.zeros(of.shape, dtype=torch.float64)
    if bias is not None:
        value += bias.to("cpu", torch.float64)
    if isinstance(of.activation, Box):
        value += of.activation.offset
    if options is None:
        return value
    whole = (value * 2.0**options.state_fraction + 0.5).floor_()
    limit = 2 ** (options.state_bits - 1)
    if not float(whole.abs().max()) < limit:  # also what is no number
        raise CapabilityError(
            f"backend {name}", f"layer {layer}", f"a bias of {float(value.abs().max()):g}",
            rule=f"must be below {limit / 2**options.state_fraction:g} to fit the format of states",
            fix="take fewer loihi.state_fraction, or train with smaller biases",
        )  # fmt: skip
    return whole


def _bounds(activation: Activation | None, options: LoihiOptions, layer: str, name: str) -> tuple[int, int, str | None]:
    """Lowest and highest state in whole numbers, and the name of the curve of smooth units."""
    one, limit = 2**options.state_fraction, 2 ** (options.state_bits - 1)
    if isinstance(activation, Tanh | Sigmoid):
        _require(options.state_fraction + _reach(activation) >= options.curve_bits, "curve_bits", options, layer, name)
        _require((1 << _reach(activation)) * one <= limit, "state_bits", options, layer, name)
        _require(2**options.payload_fraction < 2 ** (options.payload_bits - 1), "payload_bits", options, layer, name)
        return -limit, limit - 1, "tanh" if isinstance(activation, Tanh) else "sigmoid"
    if not isinstance(activation, Box):
        return -limit, limit - 1, None
    low, high = math.floor(activation.low * one + 0.5), math.floor(activation.high * one + 0.5)
    _require(-limit <= low and high < limit, "state_bits", options, layer, name)
    most = math.ceil(max(abs(activation.low), abs(activation.high)) * 2**options.payload_fraction)
    _require(most < 2 ** (options.payload_bits - 1), "payload_bits", options, layer, name)
    return low, high, None


def _require(fits: bool, field: str, options: LoihiOptions, layer: str, name: str) -> None:
    if not fits:
        rule, fix = f"cannot hold the states of {layer}", "take other formats, or another activation"
        raise CapabilityError(f"backend {name}", f"loihi.{field}", getattr(options, field), rule=rule, fix=fix)


def _reach(activation: Activation | None) -> int:
    return REACH[Tanh] if isinstance(activation, Tanh) else REACH[Sigmoid]


def _into(model: Model, layer: int) -> list[int]:
    return [*model.incoming[layer], *model.outgoing[layer]]


def _fan_in(coupling: Coupling, back: bool) -> int:
    """Most weights that meet in one unit, forward or back."""
    operator, shape = coupling.operator, coupling.weight_shape
    if isinstance(operator, Dense):
        return shape[0] if back else shape[1]
    if isinstance(operator, Conv):
        return math.prod(shape[2:]) * (shape[0] if back else shape[1])
    return 1
