"""From a model to a specification with its whole numbers, and back.

Every weight becomes the nearest whole multiple of its format's step; weights that already are whole multiples, as after
training in registers of that step, are taken as they are. A box's offset adds to the drive, so it is part of the bias.
Inputs are what reaches a machine: less the model's own offset (`Model.centred`), which stays with the host.

Nothing saturates here: what a format cannot hold is refused with the layer and the bits that it takes. Not valid for
convolutions, pooling, skips, smooth units, gains and cross entropy, none of which the specification has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import ValidationError

from mep_hw import spec as specs
from mep_hw.activation import Box
from mep_hw.errors import CapabilityError, ModelError
from mep_hw.fpga import proof
from mep_hw.fpga.numbers import Reals, held, nearest, other_format, reals, whole_beta
from mep_hw.fpga.spec import Format, Layer, Learning, Spec, Sums, Values
from mep_hw.fpga.supported import lanes_of, require_lanes, require_supported
from mep_hw.model import Model

SUM_BITS = 48  # of the accumulator of a DSP48


@dataclass(frozen=True)
class Formats:
    """The fixed-point formats of a model.

    state: of layers 1 to L. input: of layer 0. bias_bits: of biases, whose fraction is that of states.
    weights: one format per coupling, from the input on.
    input_range: lowest and highest input, in the data's unit; None: all that the format holds.
    """

    state: Format
    input: Format
    bias_bits: int
    weights: tuple[Format, ...]
    input_range: tuple[float, float] | None = None


def quantised(
    model: Model,
    formats: Formats,
    *,
    free_steps: int,
    nudged_steps: int,
    beta: float,
    beta_fraction: int,
    step_shift: int = 1,
    lanes: int | None = None,
    nodes: Sequence[Sequence[int]] | None = None,
    learning: Learning | None = None,
    rewritten: bool = False,
    sum_bits: int = SUM_BITS,
) -> tuple[Spec, Values]:
    """The specification of a model in these formats, and its weights and biases as whole numbers.

    Args:
        beta: nudging strength, a whole multiple of 2^-beta_fraction.
        step_shift: k of the step of 2^-k time constants.
        lanes: weights read at once; None: the largest number up to 16 that divides all layers but the read-out.
        nodes: layers (from 1) of each node; None: one node has all of them.
        learning: the update on the chip; sums then hold for all weights that the formats can.
        rewritten: the host will write other weights, and sums hold for all of them, too.
        sum_bits: most bits that a sum may need.

    Raises:
        CapabilityError: a part of the model that the specification has not; a weight, bias, bound or sum that does not
            fit; lanes that do not divide. Names the layer.
        ModelError: another number of formats than couplings, or a setting out of its range.
    """
    require_supported(model)
    if len(formats.weights) != model.depth:
        rule, fix = f"must be {model.depth}, one per coupling", "give one Format for each"
        raise ModelError("fpga", "formats.weights", len(formats.weights), rule=rule, fix=fix)
    lanes = lanes_of(model) if lanes is None else require_lanes(model, lanes)
    try:
        layers = _layers(model, formats)
        spec = Spec(
            schema=1, name=model.name, layers=layers, weights=formats.weights,
            sums=(Sums(up=1, down=0, total=1),) * model.depth,  # proved below, from the rest
            step_shift=step_shift, free_steps=free_steps, nudged_steps=nudged_steps,
            beta=whole_beta(beta, beta_fraction), beta_fraction=beta_fraction, lanes=lanes,
            nodes=(tuple(range(1, model.depth + 1)),) if nodes is None else tuple(map(tuple, nodes)),
            learning=learning,
        )  # fmt: skip
    except ValidationError as error:
        raise _of_setting(error) from None
    values = Values(
        tuple(
            held(reals(weight), form, f"weights of layer {number}", "weights")
            for number, (weight, form) in enumerate(zip(model.weights, formats.weights, strict=True), start=1)
        ),
        tuple(
            held(bias_of(model, number), layer.bias, f"biases of layer {number}", "bias_bits")
            for number, layer in enumerate(layers[1:], start=1)
        ),
    )
    return spec.model_copy(update={"sums": _proved(spec, None if learning or rewritten else values, sum_bits)}), values


def dequantised(spec: Spec, values: Values) -> Model:
    """The model that these whole numbers stand for, in float64, which holds all of them exactly.

    The read-out of the model is linear, and so without the bounds of its format.
    """
    described: list[dict[str, object]] = []
    for layer in spec.layers[1:-1]:
        box = {"low": layer.low * layer.state.step, "high": layer.high * layer.state.step}
        described.append({"dense": layer.units, "activation": box})
    described.append({"dense": spec.layers[-1].units})
    description = {"input": [spec.layers[0].units], "layers": described, "cost": "squared_error"}
    model = Model(specs.parse(description, spec.name), dtype=torch.float64)
    for l, bias in enumerate(model.biases, start=1):
        assert bias is not None  # layers have one unless told otherwise
        model.weights[l - 1].copy_(torch.from_numpy(values.weights[l - 1] * spec.weights[l - 1].step))
        bias.copy_(torch.from_numpy(values.biases[l - 1] * spec.layers[l].state.step))
    return model


def learning_of(formats: Formats, halvings: Sequence[int], bias_halvings: Sequence[int], seed: int) -> Learning:
    """The update on the chip with the learning rates 2 beta 2^-halvings of couplings, and of biases.

    Raises:
        CapabilityError: a rate whose shift is not 0 to 32; names the layer and the rates that would do.
    """
    shifts = list[int]()
    for c, (form, e) in enumerate(zip(formats.weights, halvings, strict=True)):
        from_states = formats.state.fraction + (formats.input if c == 0 else formats.state).fraction - form.fraction
        shifts.append(_shift(from_states, e, f"weights of layer {c + 1}"))
    found = tuple(_shift(0, e, f"biases of layer {c + 1}") for c, e in enumerate(bias_halvings))
    return Learning(weight_shift=tuple(shifts), bias_shift=found, seed=seed)


def bias_of(model: Model, layer: int) -> Reals:
    """What every unit of `layer` (from 1) adds to its drive, (units,): its bias and its box's offset."""
    bias, activation = model.biases[layer - 1], model.layers[layer - 1].activation
    value = np.zeros(math.prod(model.layers[layer - 1].shape)) if bias is None else reals(bias).reshape(-1)
    return value + (activation.offset if isinstance(activation, Box) else 0.0)


def _layers(model: Model, formats: Formats) -> tuple[Layer, ...]:
    form, ends = formats.input, (formats.input.least, formats.input.most)
    if formats.input_range is not None:
        ends = _ends(*formats.input_range, form, "inputs", "input")
    layers = [Layer(units=math.prod(model.input_shape), state=form, low=ends[0], high=ends[1], bias_bits=2)]
    for number, layer in enumerate(model.layers, start=1):
        low, high = _bounds(model, number, formats.state)
        units = math.prod(layer.shape)
        layers.append(Layer(units=units, state=formats.state, low=low, high=high, bias_bits=formats.bias_bits))
    return tuple(layers)


def _bounds(model: Model, number: int, form: Format) -> tuple[int, int]:
    """Lowest and highest state of a layer; the read-out has those of its format."""
    activation = model.layers[number - 1].activation
    if not isinstance(activation, Box):
        return form.least, form.most
    return _ends(activation.low, activation.high, form, f"states of layer {number}", "state")


def _ends(low: float, high: float, form: Format, what: str, name: str) -> tuple[int, int]:
    ends = nearest(low, form.fraction), nearest(high, form.fraction)
    if not form.least <= ends[0] < ends[1] <= form.most:
        rule = f"must be different numbers of {form.bits} bits with {form.fraction} behind the point"
        if ends[0] < ends[1]:
            rule += f", and {proof.bits(ends)} bits are needed"
        raise CapabilityError("fpga", f"bounds of {what}", f"{low:g} to {high:g}", rule=rule, fix=other_format(name))
    return ends


def _proved(spec: Spec, values: Values | None, most: int) -> tuple[Sums, ...]:
    """The widths of all sums.

    Raises:
        CapabilityError: one that needs more bits than there are.
    """
    try:
        found = proof.sums(spec, values)
    except ValidationError:  # more bits than any specification has
        rule, fix = f"needs more than {most} bits", "take fewer bits behind the point"
        raise CapabilityError("fpga", "sums", rule=rule, fix=fix) from None
    for number, widths in enumerate(found, start=1):
        for name in ("up", "down", "total"):
            needed: int = getattr(widths, name)
            if needed > most:
                rule = f"must fit in {most} bits, and {needed} are needed"
                fix = "take fewer bits of weights or states, or fewer of them behind the point"
                raise CapabilityError("fpga", f"layer {number}, sum {name}", rule=rule, fix=fix)
    return found


def _shift(fraction: int, halvings: int, what: str) -> int:
    if not 0 <= fraction + halvings <= 32:
        rule = f"must be {max(-fraction, -32)} to {32 - fraction}, for a shift of 0 to 32 bits"
        raise CapabilityError("fpga", f"halvings of the rate of {what}", halvings, rule=rule, fix="take one of them")
    return fraction + halvings


def _of_setting(error: ValidationError) -> ModelError:
    first = error.errors()[0]
    rule, fix = first["msg"].removeprefix("Value error, "), "see docs/fpga-formats.md"
    if not first["loc"]:  # a rule that ties several fields
        return ModelError("fpga", rule="the " + rule, fix=fix)
    field, rule = ".".join(map(str, first["loc"])), rule.replace("Input should be", "must be")
    return ModelError("fpga", field, first["input"], rule=rule, fix=fix)
