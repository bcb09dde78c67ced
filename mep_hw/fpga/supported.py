"""Which models a specification can be made of, and how many of their weights can be read at once."""

from __future__ import annotations

import math

from mep_hw.activation import Box
from mep_hw.coupling import Dense
from mep_hw.errors import CapabilityError
from mep_hw.model import Model

MOST_LANES = 16  # that `lanes=None` takes


def lanes_of(model: Model) -> int:
    """The largest number up to 16 that divides the units of all layers but the read-out."""
    common = math.gcd(*_sending_units(model))
    return max(p for p in range(1, MOST_LANES + 1) if common % p == 0)


def require_lanes(model: Model, lanes: int) -> int:
    """`lanes`, if it divides the units of all layers but the read-out.

    Raises:
        CapabilityError: names the layer, and the numbers that would do.
    """
    units = _sending_units(model)
    for number, count in enumerate(units):
        if lanes < 1 or count % lanes:
            common = math.gcd(*units)
            do = ", ".join(str(p) for p in range(1, min(common, 64) + 1) if common % p == 0)
            rule = f"must divide the {count} units of layer {number}"
            raise CapabilityError("fpga", "lanes", lanes, rule=rule, fix=f"take one of {do}")
    return lanes


def require_supported(model: Model) -> None:
    """Raises CapabilityError for what the specification does not have."""
    if model.spec.skips:
        skip = model.spec.skips[0]
        raise _unsupported(f"skip {skip.source} to {skip.target}", "a skip", "use a chain of layers")
    if not model.loss.in_energy:
        raise _unsupported("cost", model.loss.name, "use squared_error")
    for number, (layer, coupling) in enumerate(zip(model.layers, model.couplings, strict=True), start=1):
        if not isinstance(coupling.operator, Dense):
            raise _unsupported(f"layer {number}", "a convolution", "use dense layers")
        if coupling.before or coupling.after:
            raise _unsupported(f"layer {number}", "pooling", "use dense layers")
        if layer.activation is None:
            continue
        if not isinstance(layer.activation, Box):
            kind = type(layer.activation).__name__.lower()
            raise _unsupported(f"layer {number}, activation", kind, "use hard_sigmoid or another box")
        if layer.activation.gain != 1:
            raise _unsupported(f"layer {number}, gain", layer.activation.gain, "put the gain into the weights")


def _sending_units(model: Model) -> list[int]:
    return [math.prod(model.input_shape), *(math.prod(layer.shape) for layer in model.layers[:-1])]


def _unsupported(field: str, value: object, fix: str) -> CapabilityError:
    return CapabilityError("fpga", field, value, rule="is not in the specification of this hardware", fix=fix)
