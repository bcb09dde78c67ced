"""The form `forward`: convolutions and average pools as nodes, layers in their shapes, nothing sent back.

NIR has no transposed convolution, so that what layers send back is left to readers who know what the metadata means.
Not valid for biases behind padded pools, which have no place in the Conv2d before them.
"""

from __future__ import annotations

import nir
import numpy as np

from mep_hw.coupling import Conv, Coupling, Dense, Identity, Pool, Shape
from mep_hw.errors import ModelError
from mep_hw.export import unrolled
from mep_hw.export.parts import Parts, array, number_format
from mep_hw.export.units import Array, units
from mep_hw.model import Model


def add_forward(parts: Parts, model: Model) -> None:
    """All nodes and edges of the form `forward`."""
    dtype = number_format(model)
    first = parts.input(model.input_shape, None if model.offset is None else array(model.offset))
    for n, layer in enumerate(model.layers, start=1):
        parts.nodes[f"units_{n}"] = units(layer.shape, layer.activation, dtype)
    for c, coupling in enumerate(model.couplings):
        bias = model.biases[coupling.target - 1] if c < model.depth else None
        source = first if coupling.source == 0 else f"units_{coupling.source}"
        nodes = _shaped(coupling, array(model.weights[c]), None if bias is None else array(bias).reshape(-1))
        parts.chain(source, nodes, f"units_{coupling.target}")
    parts.output(model.depth, model.outputs)


def _shaped(coupling: Coupling, weight: Array, bias: Array | None) -> dict[str, nir.NIRNode]:
    """The nodes of one coupling forward, convolutions and average pools as such."""
    name = coupling.name
    unrolled.require_linear(coupling)
    if bias is not None and any(pool.padding for pool in coupling.after):
        rule = "the bias behind a padded pool has no place in a Conv2d before it"
        raise ModelError("export", f"coupling {name}", rule=rule, fix="give form='matrices' (--form matrices)")
    nodes: dict[str, nir.NIRNode] = {f"pool_{name}_before_{n}": _pool(pool) for n, pool in enumerate(coupling.before)}
    operator, shape = coupling.operator, coupling.operand_shape
    if isinstance(operator, Dense) and len(shape) > 1:
        nodes[f"flatten_{name}"] = nir.Flatten(input_type={"input": np.array(shape)}, start_dim=0, end_dim=-1)
    nodes[f"weights_{name}"] = _operator(operator, shape, weight, bias)
    return nodes | {f"pool_{name}_after_{n}": _pool(pool) for n, pool in enumerate(coupling.after)}


def _operator(operator: Dense | Conv | Identity, shape: Shape, weight: Array, bias: Array | None) -> nir.NIRNode:
    if isinstance(operator, Identity):
        return nir.Scale(np.full(shape, weight, dtype=weight.dtype))
    if isinstance(operator, Dense):
        return nir.Linear(weight) if bias is None else nir.Affine(weight, bias)
    none = np.zeros(operator.channels, dtype=weight.dtype)
    size = (shape[1], shape[2])
    return nir.Conv2d(size, weight, operator.stride, operator.padding, 1, 1, none if bias is None else bias)


def _pool(pool: Pool) -> nir.AvgPool2d:
    return nir.AvgPool2d(*(np.array([n, n]) for n in (pool.size, pool.stride, pool.padding)))
