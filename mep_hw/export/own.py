"""Our own graphs back to the model they were written from.

The written form of the model is in the metadata, its numbers are in the nodes. The model is put together from both and
written once more; a graph that is not that one, node for node and bit for bit, is refused. So whatever a reader takes
from the file, such as a transposed matrix, agrees with what we read, and a cycle that was made asymmetric is found.
"""

from __future__ import annotations

import json
import math
from typing import Any, cast

import nir
import numpy as np
import torch
from torch import Tensor

from mep_hw import spec as specs
from mep_hw.coupling import Coupling, Identity
from mep_hw.errors import ModelError
from mep_hw.export.rate import FORMAT, to_nir
from mep_hw.export.unrolled import weight_of
from mep_hw.model import Model

_FIX = "give the file as mep_hw wrote it, or remove the metadata mep_* to have it read as a chain of layers"


def model_of_own(graph: nir.NIRGraph, where: str) -> Model:
    """The model that `to_nir` made this graph of.

    Raises:
        ModelError: another version, the spiking profile, or a graph that was changed after it had been written.
    """
    meta = graph.metadata
    if not np.array_equal(meta["mep_format"], FORMAT):  # whatever kind of value it is
        rule = f"is not the version that this mep_hw reads, {FORMAT}"
        raise ModelError(where, "mep_format", meta["mep_format"], rule=rule, fix="update mep_hw, or write it again")
    if str(meta.get("mep_profile")) != "rate":
        rule, fix = "is not 'rate': weights cannot be taken back from calibrated units", "give the file of that profile"
        raise ModelError(where, "mep_profile", meta.get("mep_profile"), rule=rule, fix=fix)
    model = _model(graph, where)
    nudge, form = meta.get("mep_nudge"), meta.get("mep_form")
    if nudge is not None and not isinstance(nudge, float):
        raise ModelError(where, "mep_nudge", nudge, rule="must be a number", fix=_FIX)
    expected = to_nir(model, nudge=nudge, form=str(form))  # pyright: ignore[reportArgumentType]  # checked there
    _compare(graph, expected, where)
    return model


def _model(graph: nir.NIRGraph, where: str) -> Model:
    """Structure from the metadata, numbers from the nodes; nothing is checked but that they fit."""
    try:
        description = json.loads(graph.metadata["mep_model"])
    except (KeyError, TypeError, json.JSONDecodeError):
        raise ModelError(where, "mep_model", rule="holds no description of a model", fix=_FIX) from None
    spec = specs.parse(description, where)
    model = Model(spec, dtype=torch.from_numpy(_field(graph, "weights_1", "weight", where)).dtype)
    as_matrix = str(graph.metadata.get("mep_form")) == "matrices"
    for c, coupling in enumerate(model.couplings):
        name = f"weights_{coupling.name}"
        held = _field(graph, name, "weight" if hasattr(graph.nodes.get(name), "weight") else "scale", where)
        value = torch.from_numpy(held)
        if as_matrix:
            value = weight_of(coupling, _cut(coupling, value, name, where))
        _copy(model.weights[c], value if coupling.weight_shape else value.flatten()[:1], name, where)
        bias = model.biases[coupling.target - 1]
        if bias is not None and c < model.depth:
            name = f"pool_{coupling.name}_after_{len(coupling.after) - 1}" if as_matrix and coupling.after else name
            value = torch.from_numpy(_field(graph, name, "bias", where))
            units = model.layers[coupling.target - 1].shape
            if as_matrix and len(value) == math.prod(units):  # one for each unit, of which channels have many
                value = value.reshape(units[0], -1)[:, 0]
            _copy(bias, value, name, where)
    if "centre" in graph.nodes:
        leak = torch.from_numpy(_field(graph, "centre", "v_leak", where)).reshape(-1)
        model.offset = torch.zeros(model.input_shape, dtype=leak.dtype)
        _copy(model.offset, 0 - leak[: model.offset.numel()], "centre", where)
    return model


def _cut(coupling: Coupling, value: Tensor, name: str, where: str) -> Tensor:
    """A matrix, or the factors of a link between layers, without the columns for targets, which hold 0."""
    inputs, outputs = math.prod(coupling.operand_shape), math.prod(coupling.operator.shape(coupling.operand_shape))
    wanted = (outputs,) if isinstance(coupling.operator, Identity) and coupling.source > 0 else (outputs, inputs)
    value = value[:, :inputs] if value.dim() == 2 and coupling.source == 0 else value
    if value.shape != wanted:
        raise _unfit(wanted, value, name, where)
    return value


def _copy(mine: Tensor, theirs: Tensor, name: str, where: str) -> None:
    if mine.numel() != theirs.numel():
        raise _unfit(tuple(mine.shape), theirs, name, where)
    mine.copy_(theirs.reshape(mine.shape))


def _unfit(wanted: tuple[int, ...], found: Tensor, name: str, where: str) -> ModelError:
    rule = f"does not have the shape {wanted} of the model in the metadata"
    return ModelError(where, f"node {name}", tuple(found.shape), rule=rule, fix=_FIX)


def _field(graph: nir.NIRGraph, name: str, field: str, where: str) -> Any:
    value = getattr(graph.nodes.get(name), field, None)
    if not isinstance(value, np.ndarray) or value.dtype not in (np.float32, np.float64) or value.ndim == 0:
        rule = f"must be there and have a {field} of float32 or float64, by the model in the metadata"
        raise ModelError(where, f"node {name}", rule=rule, fix=_FIX)
    return np.array(value)


def _compare(graph: nir.NIRGraph, expected: nir.NIRGraph, where: str) -> None:
    if set(graph.nodes) != set(expected.nodes) or set(graph.edges) != set(expected.edges):
        odd = sorted(set(graph.nodes) ^ set(expected.nodes))
        edges = sorted(f"{a} -> {b}" for a, b in set(graph.edges) ^ set(expected.edges))
        rule = "are not those of the model in the metadata"
        raise ModelError(where, "nodes and edges", ", ".join([*odd, *edges]), rule=rule, fix=_FIX)
    for name, wanted in expected.nodes.items():
        found = graph.nodes[name]
        if _alike(found, wanted):
            continue
        if name.startswith("back_"):
            forward = name.removeprefix("back_")
            rule = f"is not the transpose of {forward}, and couplings are symmetric"
            raise ModelError(where, f"cycle of {forward} and {name}", rule=rule, fix=_FIX)
        rule = "is not what the model in the metadata says"
        raise ModelError(where, f"node {name}", type(found).__name__, rule=rule, fix=_FIX)


def _alike(found: nir.NIRNode, wanted: nir.NIRNode) -> bool:
    """Same type, fields, number formats and metadata."""
    if type(found) is not type(wanted):
        return False
    theirs, mine = found.to_dict(), wanted.to_dict()
    return theirs.keys() == mine.keys() and all(_same(theirs[key], value) for key, value in mine.items())


def _same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):  # metadata
        if not isinstance(found, dict):
            return False
        mine, theirs = cast("dict[str, Any]", wanted), cast("dict[str, Any]", found)
        return mine.keys() == theirs.keys() and all(_same(theirs[key], value) for key, value in mine.items())
    kept = not isinstance(wanted, np.ndarray) or getattr(found, "dtype", None) == wanted.dtype
    return kept and np.array_equal(found, wanted)
