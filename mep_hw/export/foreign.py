"""A NIR graph that somebody else wrote, as an equilibrium model with the same weights: a start for training.

What the graph computes is a feed-forward pass or a linear system in time; the model settles with symmetric couplings
and bounded units, so its states differ. LI nodes are read as units, with r as the gain and v_leak as the offset of a
box; I nodes, which have no leak and never settle, as units of gain 1; time constants are dropped.

Not valid for spiking nodes, whose thresholds and resets say nothing of a bounded rate, and for anything but a chain.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field
from typing import Any

import nir
import numpy as np
import torch

from mep_hw import spec as specs
from mep_hw.activation import NAMED, Box
from mep_hw.errors import ModelError, Notice
from mep_hw.export.chain import UNITS, WEIGHTED, ordered
from mep_hw.model import Model
from mep_hw.spec import ActivationName

DEFAULT: ActivationName = "hard_sigmoid"


def model_of_chain(graph: nir.NIRGraph, where: str, activation: ActivationName | None) -> Model:
    """The model with the layers of a chain; `activation` None takes hard_sigmoid.

    Raises:
        ModelError: naming the node that has no counterpart.
    """
    chosen = activation or DEFAULT
    if chosen not in NAMED:
        raise ModelError(where, "activation", chosen, rule=f"must be one of {', '.join(NAMED)}", fix="choose one")
    names = ordered(graph, where)
    layers = _Layers(graph, where, chosen)
    for name in names:
        layers.take(name)
    found = layers.finish()
    (start,) = graph.inputs.values()
    shape = [int(n) for n in start.input_type["input"]]
    model = Model(
        specs.parse({"input": shape, "layers": [layer.description for layer in found]}, where),
        dtype=torch.float64 if all(layer.node.weight.dtype == np.float64 for layer in found) else torch.float32,
    )
    for layer, weight, bias in zip(found, model.weights, model.biases, strict=True):
        weight.copy_(torch.from_numpy(np.array(layer.node.weight)))
        if bias is not None:
            bias.copy_(torch.from_numpy(np.array(layer.node.bias)).reshape(bias.shape))
    hidden = f"its hidden units as {chosen}" if len(found) > 1 else "without hidden units"
    warnings.warn(
        f"{where} was not written by mep_hw; read with symmetric couplings, which it does not have, {hidden}, and a "
        "squared error; its settled state is not what the graph computes",
        Notice,
        stacklevel=3,
    )
    return model


@dataclass
class _Layer:
    """One weighted node with the pools around it and the units behind it."""

    name: str
    node: Any  # Affine, Linear or Conv2d
    description: dict[str, Any]
    unit: str | None = None


@dataclass
class _Layers:
    graph: nir.NIRGraph
    where: str
    activation: ActivationName
    found: list[_Layer] = field(default_factory=list[_Layer])
    pending: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def take(self, name: str) -> None:
        node = self.graph.nodes[name]
        open_layer = self.found[-1] if self.found and self.found[-1].unit is None else None
        if isinstance(node, WEIGHTED):
            if open_layer is not None:
                self._refuse(name, f"follows {open_layer.name} without units between them", "put an LI between them")
            bias = not isinstance(node, nir.Linear)
            self._require_finite(name, node.weight, *([node.bias] if bias else []))
            operator = self._conv(name, node) if isinstance(node, nir.Conv2d) else self._dense(name, node)
            self.found.append(_Layer(name, node, {**operator, "before": self.pending, "after": [], "bias": bias}))
            self.pending = []
        elif isinstance(node, UNITS):
            if open_layer is None:
                self._refuse(name, "has no weights before it", "put an Affine or Conv2d before it")
            else:
                open_layer.unit = name
        elif isinstance(node, nir.AvgPool2d):
            before = self.pending if open_layer is None else open_layer.description["after"]
            size, stride, padding = (self._square(name, node, f) for f in ("kernel_size", "stride", "padding"))
            before.append({"pool": "avg", "size": size, "stride": stride, "padding": padding})
        elif isinstance(node, nir.Flatten) and len(node.output_type["output"]) != 1:
            self._refuse(name, "flattens only some dimensions of a sample", "give start_dim=0, end_dim=-1")

    def finish(self) -> list[_Layer]:
        """The layers with their activations, the last of which is the linear read-out."""
        if not self.found:
            fix = "give a graph with at least an Affine"
            raise ModelError(self.where, "nodes", rule="hold no Affine, Linear or Conv2d", fix=fix)
        if self.pending:
            raise ModelError(self.where, "nodes", rule="end in a pool, not in a read-out", fix="end with an Affine")
        for layer in self.found[:-1]:
            assert layer.unit is not None  # else the next weighted node was refused
            layer.description["activation"] = self._activation(layer.unit)
        last = self.found[-1].unit
        if last is not None and self._gain_and_offset(last) != (1.0, 0.0):
            self._refuse(last, "is the read-out, which has r = 1 and v_leak = 0", "scale the weights before it")
        return self.found

    def _activation(self, name: str) -> str | dict[str, float]:
        gain, offset = self._gain_and_offset(name)
        if (gain, offset) == (1.0, 0.0):
            return self.activation
        box = NAMED[self.activation]
        if not isinstance(box, Box):
            rule = f"has r = {gain:g} and v_leak = {offset:g}, which {self.activation} units have no place for"
            self._refuse(name, rule, "give activation='hard_sigmoid', or r = 1 and v_leak = 0")
        return {"low": box.low, "high": box.high, "gain": gain, "offset": offset}

    def _gain_and_offset(self, name: str) -> tuple[float, float]:
        node = self.graph.nodes[name]
        if not isinstance(node, nir.LI):
            return 1.0, 0.0
        self._require_finite(name, node.r, node.v_leak)
        gain, offset = float(node.r.flat[0]), float(node.v_leak.flat[0])
        if np.any(node.r != gain) or np.any(node.v_leak != offset) or gain <= 0:
            self._refuse(
                name, "must have one r above 0 and one v_leak for all units", "scale weights and biases instead"
            )
        return gain, offset

    def _dense(self, name: str, node: nir.Affine | nir.Linear) -> dict[str, Any]:
        if node.weight.ndim != 2:
            self._refuse(name, f"has weights of shape {node.weight.shape}", "give a matrix (outputs, inputs)")
        return {"dense": int(node.weight.shape[0])}

    def _conv(self, name: str, node: nir.Conv2d) -> dict[str, Any]:
        kernel = int(node.weight.shape[2])
        plain = node.groups == 1 and self._square(name, node, "dilation") == 1 and node.weight.shape[3] == kernel
        if not plain:
            self._refuse(name, "must have groups 1, dilation 1 and a square kernel", "use a plain convolution")
        padding = node.padding
        if isinstance(padding, str):
            if padding == "same" and kernel % 2 == 0:
                self._refuse(name, "pads one side more than the other", "use an odd kernel or numbers as padding")
            number = kernel // 2 if padding == "same" else 0
        else:
            number = self._square(name, node, "padding")
        stride = self._square(name, node, "stride")
        return {"conv": {"channels": int(node.weight.shape[0]), "kernel": kernel, "stride": stride, "padding": number}}

    def _square(self, name: str, node: nir.NIRNode, argument: str) -> int:
        both = np.broadcast_to(np.asarray(getattr(node, argument)), (2,))
        if both[0] != both[1]:
            self._refuse(name, f"has {argument} {tuple(both.tolist())}, which is not square", "use one number")
        return int(both[0])

    def _require_finite(self, name: str, *values: Any) -> None:
        if not all(math.isfinite(float(np.sum(np.abs(value)))) for value in values):
            self._refuse(name, "holds a number that is not finite", "correct it")

    def _refuse(self, name: str, rule: str, fix: str) -> None:
        kind = type(self.graph.nodes[name]).__name__
        raise ModelError(self.where, f"node {name} ({kind})", rule=rule, fix=fix)
