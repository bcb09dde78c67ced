"""A NIR graph in plain numpy: Euler steps of the equations that NIR gives its nodes, all nodes at once.

An independent reader of what `to_nir` and `to_spiking_nir` write: it knows nodes and equations, and of our metadata
only what an LI sends of its v (`mep_hw.export.units`). Spikes are what NIR says they are, impulses of area 1: one that
is sent in a step counts as 1 / dt during it. Linear nodes act at once, and what units send arrives in the next step.

Not valid for shaped nodes (Conv2d and pools), and for steps that are long beside a time constant or the time between
two spikes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np

from mep_hw.errors import ModelError
from mep_hw.export.units import Array

Send = Callable[[Array], Array]  # what comes in during a step, (batch, units) -> what is sent in the next one


@dataclass(frozen=True)
class Means:
    """Per node of units what it sent, (batch, units), as the mean over the last part of the time."""

    sent: dict[str, Array]
    output: Array


def simulate(graph: nir.NIRGraph, x: Array, *, seconds: float, average: float, dt: float) -> Means:
    """Run the graph from rest with constant inputs `x` (batch, inputs).

    Args:
        average: what was sent is averaged over so many seconds at the end.

    Raises:
        ModelError: a node of a type that is not known here, or a step that is not above 0 and below every time.
    """
    if not 0 < dt <= average <= seconds:
        rule = "needs 0 < dt <= average <= seconds"
        raise ModelError("simulate", "dt, average, seconds", (dt, average, seconds), rule=rule, fix="give others")
    x = np.asarray(x, dtype=np.float64)
    (start,) = graph.inputs
    (end,) = graph.outputs
    units = {name: _unit(name, node, len(x), dt) for name, node in graph.nodes.items() if _is_unit(node)}
    before = {name: [a for a, b in graph.edges if b == name] for name in graph.nodes}
    linear = _in_order(graph, before, {start, *units})
    values = {name: np.zeros((len(x), *node.input_type["input"])) for name, node in graph.nodes.items()}
    values[start] = x
    steps, counted = round(seconds / dt), max(1, round(average / dt))
    total = {name: np.zeros_like(values[name]) for name in units}
    for step in range(steps):
        for name, act in linear:
            values[name] = act(sum((values[a] for a in before[name]), start=np.zeros(())))
        incoming = {name: sum((values[a] for a in before[name]), start=np.zeros(())) for name in units}
        for name, send in units.items():
            values[name] = send(incoming[name])
            if step >= steps - counted:
                total[name] += values[name]
    sent = {name: value / counted for name, value in total.items()}
    (last,) = before[end]
    return Means(sent, sent[last] if last in sent else values[last])


def _is_unit(node: nir.NIRNode) -> bool:
    return isinstance(node, nir.LI | nir.LIF | nir.CubaLIF)


def _unit(name: str, node: nir.NIRNode, rows: int, dt: float) -> Send:
    if isinstance(node, nir.LI):
        return _leaky(node, rows, dt)
    assert isinstance(node, nir.LIF | nir.CubaLIF)
    return _spiking(node, rows, dt)


def _leaky(node: nir.LI, rows: int, dt: float) -> Send:
    v = np.zeros((rows, *node.r.shape))
    activation = node.metadata.get("activation", "linear")
    low, high = (node.metadata.get(key, 0.0) for key in ("low", "high"))

    def send(current: Array) -> Array:
        nonlocal v
        v = v + dt / node.tau * (node.v_leak - v + node.r * current)
        if activation == "box":
            v = np.clip(v, low, high)
        return np.tanh(v) if activation == "tanh" else 1 / (1 + np.exp(-v)) if activation == "sigmoid" else v

    return send


def _spiking(node: nir.LIF | nir.CubaLIF, rows: int, dt: float) -> Send:
    v, current = (np.zeros((rows, *node.r.shape)) for _ in range(2))
    reset = node.v_reset
    assert reset is not None  # the node fills it in

    def send(incoming: Array) -> Array:
        nonlocal v, current
        if isinstance(node, nir.CubaLIF):
            current = current + dt / node.tau_syn * (node.w_in * incoming - current)
            v = v + dt / node.tau_mem * (node.v_leak - v + node.r * current)
        else:
            v = v + dt / node.tau * (node.v_leak - v + node.r * incoming)
        spikes = v > node.v_threshold
        v = np.where(spikes, reset, v)
        return spikes / dt

    return send


def _in_order(graph: nir.NIRGraph, before: dict[str, list[str]], known: set[str]) -> list[tuple[str, Send]]:
    """The linear nodes, each after those that feed it."""
    found: list[tuple[str, Send]] = []
    left = {n: node for n, node in graph.nodes.items() if n not in known and not isinstance(node, nir.Output)}
    while left:
        ready = [name for name in left if not any(a in left for a in before[name])]
        if not ready:
            rule, fix = "form a cycle without units in it", "put an LI into it"
            raise ModelError("simulate", "nodes", ", ".join(left), rule=rule, fix=fix)
        found += [(name, _linear(name, left.pop(name))) for name in ready]
    return found


def _linear(name: str, node: Any) -> Send:
    if isinstance(node, nir.Affine):
        weight, bias = node.weight.T.astype(np.float64), node.bias
        return lambda value: value @ weight + bias
    if isinstance(node, nir.Linear):
        matrix = node.weight.T.astype(np.float64)
        return lambda value: value @ matrix
    if isinstance(node, nir.Scale):
        return lambda value: value * node.scale
    rule = "is not simulated; Affine, Linear, Scale, LI, LIF and CubaLIF are"
    raise ModelError("simulate", f"node {name}", type(node).__name__, rule=rule, fix="give form='matrices'")
