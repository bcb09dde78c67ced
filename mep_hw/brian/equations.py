"""The equations of motion of `mep_hw.flow` as text that brian2 reads, generated from a model.

    box units       ds/dt = live*(drive - (s - offset)/gain)/tau      then s = clip(s, low, high)
    smooth units    du/dt = live*(drive - u)/tau                      then s = rho(u)
    read-out        ds/dt = live*(drive - s + beta*(y - s))/tau
    drive           bias + up_c (from the layers below) + down_c (from the layers above), one for each coupling c
    synapses        up_c = sum of w*s over sources, down_c = sum of w*s over targets

`live` is 1 until the sample has come to rest and 0 from then on; `gap` is how far a unit is from where it would rest
with its neighbours held, which is what stopping looks at. `tau` stands for itself, as steps are given in units of it.

A read-out with cross entropy shows an error current that has no dynamics of its own, so there is no equation for it; it
is refused, as are max pooling, whose way back depends on the state, and activations that no formula is written for.
This module needs no brian2.
"""

from __future__ import annotations

from dataclasses import dataclass

from mep_hw.activation import Activation, Box, Sigmoid, Tanh
from mep_hw.errors import CapabilityError
from mep_hw.model import Model

SMOOTH: dict[type[Activation], str] = {Sigmoid: "1/(1 + exp(-{}))", Tanh: "tanh({})"}


@dataclass(frozen=True)
class LayerText:
    """One layer.

    ode: equation and variables of the group.
    after: what follows every Euler step; "" for a read-out.
    gap: distance from rest; "" for units that never rest.
    threshold, reset: when a unit fires, and what follows; None for units without spikes.
    """

    ode: str
    after: str = ""
    gap: str = ""
    threshold: str | None = None
    reset: str | None = None

    def __str__(self) -> str:
        return "\n".join(part for part in (self.ode, self.after, self.gap, self.threshold, self.reset) if part)


def layer_text(model: Model, layer: int) -> LayerText:
    """Equations of layer `layer`, counted from 1.

    Raises:
        CapabilityError: the model has something that cannot be written so, see the module's text.
    """
    require_writable_model(model)
    activation = model.layers[layer - 1].activation
    if activation is None:
        body = "ds/dt = live*(drive - s + beta*(y - s))/tau : 1\nbeta : 1\ny : 1"
        return LayerText(f"{body}\n{drive_text(model, layer)}", gap="gap = abs((drive + beta*y)/(1 + beta) - s)")
    body, after = f"du/dt = live*(drive - u)/tau : 1\ns : 1\n{drive_text(model, layer)}", f"s = {_rho(activation, 'u')}"
    if isinstance(activation, Box):
        body = f"ds/dt = live*(drive - {_inverse(activation)})/tau : 1\n{drive_text(model, layer)}"
        after = f"s = clip(s, {activation.low!r}, {activation.high!r})"
    return LayerText(body, after, f"gap = abs({_rho(activation, 'drive')} - s)")


def sums(model: Model, layer: int, *, of_input: bool) -> list[str]:
    """Names of what synapses sum for a layer: over the input, which never changes in a run, or over other layers."""
    below = [f"up_{c}" for c in model.incoming[layer] if (model.couplings[c].source == 0) == of_input]
    return below if of_input else below + [f"down_{c}" for c in model.outgoing[layer]]


def synapse_text(model: Model, coupling: int) -> str:
    """Both directions of a coupling with one and the same weight; only upwards from the input."""
    up = f"w : 1\nup_{coupling}_post = w*s_pre : 1 (summed)"
    return up if model.couplings[coupling].source == 0 else f"{up}\ndown_{coupling}_pre = w*s_post : 1 (summed)"


def require_writable_model(model: Model) -> None:
    """Raises CapabilityError for a model that has no equations here."""
    if not model.loss.in_energy:
        rule = "its read-out has no dynamics of its own, so there is no equation to integrate"
        raise CapabilityError("backend brian2", "cost", model.loss.name, rule=rule, fix="use cost squared_error")
    if model.routes_by_argmax:
        rule = "the way back through max pooling depends on the state and is no synapse"
        raise CapabilityError("backend brian2", "pool", "max", rule=rule, fix="use average pooling")
    for number, layer in enumerate(model.layers, start=1):
        if layer.activation is not None and not isinstance(layer.activation, Box | Sigmoid | Tanh):
            name = type(layer.activation).__name__
            rule, fix = "no equation is written for it", "use box units, sigmoid or tanh"
            raise CapabilityError("backend brian2", f"activation of layer {number}", name, rule=rule, fix=fix)


def drive_text(model: Model, layer: int) -> str:
    """The sum that drives a layer, and the variables in it."""
    names = sums(model, layer, of_input=True) + sums(model, layer, of_input=False)
    lines = [f"drive = bias + {' + '.join(names)} : 1", *(f"{name} : 1 (linked)" for name in names)]
    return "\n".join([*lines, "bias : 1", "live : 1", "gap : 1"])


def _rho(activation: Activation, drive: str) -> str:
    if not isinstance(activation, Box):
        return SMOOTH[type(activation)].format(drive)
    scaled = drive if activation.gain == 1 else f"{activation.gain!r}*{drive}"
    moved = scaled if activation.offset == 0 else f"{scaled} + {activation.offset!r}"
    return f"clip({moved}, {activation.low!r}, {activation.high!r})"


def _inverse(box: Box) -> str:
    moved = "s" if box.offset == 0 else f"(s - {box.offset!r})"
    return moved if box.gain == 1 else f"{moved}/{box.gain!r}"
