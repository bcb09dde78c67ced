"""The energy of a model with any weights, such as those that a machine holds in place of the model's own.

E as in `mep_hw.model`, and E + beta C in a nudged phase. With cross entropy the read-out is outside the energy.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from mep_hw.model import Model
from mep_hw.state import Nudge


def energy(
    model: Model, weights: Sequence[Tensor], biases: Sequence[Tensor | None], state: Sequence[Tensor], x: Tensor
) -> Tensor:
    """E(s; x) per sample with the given weights in place of the model's own."""
    values = [x, *state]
    total = x.new_zeros(len(x))
    inside = model.depth if model.loss.in_energy else model.depth - 1
    for layer, bias, value in zip(model.layers[:inside], biases, state, strict=False):
        potential = value.square() / 2 if layer.activation is None else layer.activation.potential(value)
        total = total + potential.flatten(1).sum(1)
        if bias is not None:
            total = total - (value * bias.to(value)).flatten(1).sum(1)
    for coupling, weight in zip(model.couplings, weights, strict=True):
        if coupling.target <= inside:
            phi = coupling.forward(values[coupling.source], weight.to(x))
            total = total - (values[coupling.target] * phi).flatten(1).sum(1)
    return total


def total_energy(
    model: Model,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor | None],
    state: Sequence[Tensor],
    x: Tensor,
    nudge: Nudge | None,
) -> Tensor:
    """E, or E + beta C in a nudged phase, per sample and with the given weights."""
    value = energy(model, weights, biases, state, x)
    if nudge is None:
        return value
    output = state[-1]
    if not model.loss.in_energy:  # the read-out is outside of E, and the state holds what it sends back
        drive = None if biases[-1] is None else biases[-1].to(output)
        for c in model.incoming[model.depth]:
            coupling = model.couplings[c]
            drive = coupling.forward([x, *state][coupling.source], weights[c].to(output), drive)
        assert drive is not None  # the read-out always has an incoming coupling
        output = drive
    return value + nudge.beta * model.loss.of(output, nudge.target)
