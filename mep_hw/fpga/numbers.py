"""Numbers of the host as whole ones of a format, and back. Nothing saturates: what does not fit is refused."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mep_hw.errors import CapabilityError, DataError
from mep_hw.fpga import proof
from mep_hw.fpga.spec import Format, Spec, Whole

Reals = NDArray[np.float64]


def whole_inputs(spec: Spec, inputs: Tensor) -> Whole:
    """Inputs (rows, ...), less the model's offset, in the format of layer 0, (rows, units).

    Raises:
        DataError: an input beyond the range of the layer.
    """
    layer = spec.layers[0]
    return _within(reals(inputs.flatten(1)), layer.state, layer.low, layer.high, "inputs")


def whole_targets(spec: Spec, targets: Tensor) -> Whole:
    """Targets (rows, outputs) in the format of the read-out's states.

    Raises:
        DataError: a target beyond that format.
    """
    form = spec.layers[-1].state
    return _within(reals(targets), form, form.least, form.most, "targets")


def whole_states(spec: Spec, state: Sequence[Tensor]) -> tuple[Whole, ...]:
    """States of layers 1 to L, (rows, ...), to the nearest that each layer can have."""
    found = list[Whole]()
    for layer, value in zip(spec.layers[1:], state, strict=True):
        whole = np.floor(reals(value.flatten(1)) * 2.0**layer.state.fraction + 0.5)
        found.append(np.clip(whole, layer.low, layer.high).astype(np.int64))
    return tuple(found)


def real_states(spec: Spec, layer: int, states: Whole) -> Reals:
    """States of `layer` in the model's unit."""
    return states * np.float64(spec.layers[layer].state.step)


def whole_beta(beta: float, fraction: int) -> int:
    """beta in units of 2^-fraction.

    Raises:
        CapabilityError: no whole number of them, or none at all; names the nearest that is.
    """
    whole = beta * 2.0**fraction
    if not (math.isfinite(whole) and whole >= 1 and whole == int(whole)):
        other = max(1, round(whole)) / 2.0**fraction if math.isfinite(whole) else 2.0**-fraction
        rule, fix = f"must be a whole multiple of {2.0**-fraction:g}", f"take {other:g}, or more of beta_fraction"
        raise CapabilityError("fpga", "beta", f"{beta:g}", rule=rule, fix=fix)
    return int(whole)


def held(values: Reals, form: Format, what: str, name: str) -> Whole:
    """Whole multiples of the format's step.

    Raises:
        CapabilityError: one that the format does not hold.
    """
    if not np.isfinite(values).all():
        raise CapabilityError("fpga", what, "NaN or infinite", rule="must be finite", fix="train the model anew")
    whole = np.floor(values * 2.0**form.fraction + 0.5)
    if whole.size and not (form.least <= whole.min() and whole.max() <= form.most):
        worst = float(values.flat[np.abs(values).argmax()])
        needed = proof.bits((int(whole.min()), int(whole.max())))
        rule = f"must fit in {form.bits} bits with {form.fraction} behind the point, and {needed} bits are needed"
        raise CapabilityError("fpga", what, f"{worst:g}", rule=rule, fix=other_format(name))
    return whole.astype(np.int64)


def nearest(value: float, fraction: int) -> int:
    """`value` in units of 2^-fraction."""
    return math.floor(value * 2.0**fraction + 0.5)


def reals(values: Tensor) -> Reals:
    """On the host, in float64."""
    return values.detach().to("cpu", torch.float64).numpy()


def other_format(name: str) -> str:
    """The way out for a number that does not fit."""
    return f"give formats.{name} more bits, or fewer of them behind the point"


def bits_for(low: float, high: float, fraction: int) -> int:
    """Bits of the narrowest format with this fraction that holds `low` and `high`, rounded to its step."""
    return proof.bits((nearest(low, fraction), nearest(high, fraction)))


def _within(values: Reals, form: Format, low: int, high: int, what: str) -> Whole:
    whole = np.floor(values * 2.0**form.fraction + 0.5)
    if whole.size and not (low <= whole.min() and whole.max() <= high):  # also what is no number
        worst = float(values.flat[np.abs(values).argmax()])
        rule = f"must be within {low * form.step:g} and {high * form.step:g}"
        raise DataError("fpga", what, f"{worst:g}", rule=rule, fix="scale the data, or export with a wider range")
    return whole.astype(np.int64)
