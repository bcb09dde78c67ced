"""The spiking profile (experimental): boxes as pairs of integrate-and-fire units whose rates carry the state.

    clamp(u, low, high) = low + relu(u - low) - relu(u - high)

so each unit of a layer becomes two CubaLIF units with the same input: one fires at `PEAK` relu(u - low) / (high - low),
the other at the rate of what is above `high`, and goes out with the opposite sign. The synaptic current, with tau_syn
the model's time constant, is the drive u. A CubaLIF with v_threshold = 1, v_reset = 0 and constant current fires at

    f(d) = 1 / (tau_mem log(d / (d - 1)) + dt / 2),   d = r I + v_leak > 1;       about (d - 1/2) / tau_mem

where dt / 2 is the mean wait for the end of a step. r and v_leak follow from that line; `mep_hw.export.calibrate` then
fits them to given data. The read-out stays an LI that sends its v.

Valid for box activations only. The rates of a settled model are reproduced with an error that `measure` tells: spikes
are a noisy signal, the curve f bends where units are nearly silent, and the filter passes ripples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np

from mep_hw.activation import Box
from mep_hw.coupling import Coupling
from mep_hw.errors import ModelError
from mep_hw.export.parts import Parts, array, number_format
from mep_hw.export.rate import metadata, sends_back
from mep_hw.export.units import Array, unit_metadata
from mep_hw.export.unrolled import steps
from mep_hw.model import Model

TAU_SYN = 0.02  # s, the time constant of the settling
TAU_MEM = 0.1  # s
PEAK = 100.0  # spikes/s of a unit at the upper end of its box
DT = 0.0005  # s, the step of Euler's method that the calibration reckons with


@dataclass(frozen=True)
class Curve:
    """r and v_leak of one population of spiking units: d = r u + v_leak."""

    r: float
    leak: float

    def rate(self, drive: Array) -> Array:
        """Spikes/s at constant drives u of the model."""
        d = np.maximum(self.r * drive + self.leak, 1 + 1e-12)
        return np.where(d > 1 + 1e-12, 1 / (TAU_MEM * np.log(d / (d - 1)) + DT / 2), 0.0)


@dataclass(frozen=True)
class Pair:
    """The curves of the units for what is above `low` and of those for what is above `high`."""

    box: Box
    lower: Curve
    upper: Curve

    def state(self, drive: Array) -> Array:
        """What the two rates stand for, in place of clamp(gain u + offset, low, high)."""
        return self.box.low + (self.lower.rate(drive) - self.upper.rate(drive)) / peak(self.box)


def peak(box: Box) -> float:
    """Spikes/s per unit of the state."""
    return PEAK / (box.high - box.low)


def start(box: Box, bound: float) -> Curve:
    """The straight line through the middle of f for relu(gain u + offset - bound)."""
    slope = peak(box) * TAU_MEM
    return Curve(slope * box.gain, slope * (box.offset - bound) + 0.5)


def spiking_graph(model: Model, pairs: Mapping[int, Pair]) -> nir.NIRGraph:
    """The graph of the free phase; `pairs` by number of the hidden layer.

    Raises:
        ModelError: max pooling, or a convolution that is too large as a matrix.
    """
    dtype = number_format(model)
    parts = Parts()
    offset = None if model.offset is None else array(model.offset).reshape(-1)
    first = parts.input((math.prod(model.input_shape),), offset)
    for n, layer in enumerate(model.layers, start=1):
        size = math.prod(layer.shape)
        parts.nodes[f"units_{n}"] = _fire(pairs[n], size, dtype) if n in pairs else _read_out(size, dtype)
    for c, coupling in enumerate(model.couplings):
        names = first if coupling.source == 0 else f"units_{coupling.source}", f"units_{coupling.target}"
        ends = pairs.get(coupling.source), pairs.get(coupling.target)
        chain = [(name, _matrix(array(step))) for name, step in steps(coupling, model.weights[c])]
        parts.chain(names[0], _path(chain, *ends, _bias(model, coupling, c)), names[1])
        if sends_back(model, coupling):
            back = [(f"back_{name}", matrix.T) for name, matrix in reversed(chain)]
            parts.chain(names[1], _path(back, ends[1], ends[0], None), names[0])
    parts.output(model.depth, model.outputs)
    return nir.NIRGraph(parts.nodes, parts.edges, metadata=metadata(model, "spiking") | {"mep_dt": DT})


def box_of(model: Model, layer: int) -> Box:
    """Raises ModelError where hidden layer `layer` has another activation than a box."""
    activation = model.layers[layer - 1].activation
    if not isinstance(activation, Box):
        rule, fix = "has no form as rates above 0 that end at a bound", "use hard_sigmoid, or the rate profile"
        name = type(activation).__name__.lower()
        raise ModelError("export", f"activation of layer {layer}", name, rule=rule, fix=fix)
    return activation


def _matrix(step: Array) -> Array:
    return np.diag(step) if step.ndim == 1 else step


def _bias(model: Model, coupling: Coupling, c: int) -> Array | None:
    bias = model.biases[coupling.target - 1]
    if bias is None or c >= model.depth:
        return None
    return array(bias.expand(model.layers[coupling.target - 1].shape)).reshape(-1)


def _path(
    chain: list[tuple[str, Array]], source: Pair | None, target: Pair | None, bias: Array | None
) -> dict[str, nir.NIRNode]:
    """Matrices from what `source` sends to the two populations of `target`; None: a layer that sends its v."""
    matrices = [matrix for _, matrix in chain]
    dtype = matrices[0].dtype
    constant = np.zeros(len(matrices[-1]), dtype=dtype) if bias is None else bias
    if source is not None:
        held = np.full(matrices[0].shape[1], source.box.low, dtype=dtype)
        for matrix in matrices:
            held = matrix @ held
        constant = constant + held
        matrices[0] = np.hstack([matrices[0], -matrices[0]]) / np.asarray(peak(source.box), dtype=dtype)
    if target is not None:
        matrices[-1], constant = np.vstack([matrices[-1]] * 2), np.tile(constant, 2)
    nodes: dict[str, nir.NIRNode] = {
        name: nir.Linear(np.ascontiguousarray(matrix)) for (name, _), matrix in zip(chain, matrices, strict=True)
    }
    nodes[chain[-1][0]] = nir.Affine(np.ascontiguousarray(matrices[-1]), constant)
    return nodes


def _fire(pair: Pair, size: int, dtype: str) -> nir.CubaLIF:
    def both(lower: float, upper: float) -> Array:
        return np.repeat(np.array([lower, upper], dtype=dtype), size)

    said: dict[str, Any] = {"low": float(pair.box.low), "high": float(pair.box.high), "peak": PEAK}
    return nir.CubaLIF(
        tau_syn=both(TAU_SYN, TAU_SYN),
        tau_mem=both(TAU_MEM, TAU_MEM),
        r=both(pair.lower.r, pair.upper.r),
        v_leak=both(pair.lower.leak, pair.upper.leak),
        v_threshold=both(1, 1),
        v_reset=both(0, 0),
        w_in=both(1, 1),
        metadata={"activation": "pairs of rates"} | said,
    )


def _read_out(size: int, dtype: str) -> nir.LI:
    tau, r, leak = (np.full(size, value, dtype=dtype) for value in (TAU_SYN, 1, 0))
    return nir.LI(tau, r, leak, metadata=unit_metadata(None))
