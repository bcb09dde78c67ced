"""The rate profile: a model as a NIR graph that settles where it does (NIR: Pedersen 2024, 10.1038/s41467-024-52259-9).

    input (-> centre) -> weights_1 -> units_1 -> weights_2 -> units_2 -> output
                                         ^-- back_weights_2 <--'

Every layer is an LI node (`mep_hw.export.units`), every coupling an Affine forward, with the layer's bias, and a Linear
of the transposed matrix back. In this form, `matrices`, layers are flat and convolutions and average pools are
unrolled. The form `forward` keeps them as Conv2d and AvgPool2d nodes and leaves out everything that is sent back, for
which NIR has no nodes: a consumer that does not know our metadata then computes the feed-forward pass, which is where
settling starts and not where it ends.

With `nudge` the graph is that of one nudged phase. Its only input is [x; y], as consumers fail on two inputs.

Not valid for: max pooling; a nudge with cross entropy, which needs a softmax; number formats other than float32 and
float64.
"""

from __future__ import annotations

import json
import math
from typing import Any, Literal

import nir
import numpy as np

from mep_hw.coupling import Coupling
from mep_hw.errors import ModelError
from mep_hw.export import unrolled
from mep_hw.export.parts import Parts, array, number_format
from mep_hw.export.shaped import add_forward
from mep_hw.export.units import DT, TAU, Array, units
from mep_hw.model import Model

FORMAT = 1  # of our metadata
Form = Literal["matrices", "forward"]
FORMS: tuple[Form, ...] = ("matrices", "forward")


def to_nir(model: Model, *, nudge: float | None = None, form: Form = "matrices") -> nir.NIRGraph:
    """The graph of the free phase, or with `nudge` of a nudged one whose input is [x; y].

    Args:
        nudge: beta, above -1 and not 0.
        form: "matrices" (settles as the model does) or "forward" (convolutions as nodes, nothing sent back).

    Raises:
        ModelError: something of the model has no counterpart in NIR.
    """
    if form not in FORMS:
        raise ModelError("export", "form", form, rule=f"must be one of {', '.join(FORMS)}", fix="choose one of them")
    if nudge is not None:
        _check_nudge(model, nudge, form)
    parts = Parts()
    if form == "matrices":
        _add_matrices(parts, model, nudge)
    else:
        add_forward(parts, model)
    return nir.NIRGraph(parts.nodes, parts.edges, metadata=metadata(model, "rate") | _rate_metadata(nudge, form))


def metadata(model: Model, profile: str) -> dict[str, Any]:
    """What every graph of ours says of itself; `mep_model` is the written form of the model, see docs/models.md."""
    return {"mep_format": FORMAT, "mep_profile": profile, "mep_model": json.dumps(model.spec.as_dict())}


def sends_back(model: Model, coupling: Coupling) -> bool:
    """Whether the target of a coupling acts on its source in the free phase."""
    return coupling.source > 0 and (coupling.target < model.depth or model.loss.in_energy)


def _rate_metadata(nudge: float | None, form: Form) -> dict[str, Any]:
    own: dict[str, Any] = {"mep_form": form, "mep_tau": TAU, "mep_dt": DT}
    return own if nudge is None else own | {"mep_nudge": float(nudge)}


def _check_nudge(model: Model, nudge: float, form: Form) -> None:
    if not (-1 < nudge < math.inf) or nudge == 0:
        raise ModelError("export", "nudge", nudge, rule="must be a number above -1, not 0", fix="leave it out, or 0.5")
    if not model.loss.in_energy:
        rule, fix = "needs a softmax, for which NIR has no node", "leave nudge out, or train with squared_error"
        raise ModelError("export", "nudge with cost", model.loss.name, rule=rule, fix=fix)
    if form != "matrices":
        rule, fix = "is a phase in which layers send back, which this form leaves out", "give form='matrices'"
        raise ModelError("export", "nudge with form", form, rule=rule, fix=fix)


def _add_matrices(parts: Parts, model: Model, nudge: float | None) -> None:
    dtype = number_format(model)
    inputs, extra = math.prod(model.input_shape), 0 if nudge is None else model.outputs
    offset = None if model.offset is None else np.pad(array(model.offset).reshape(-1), (0, extra))
    first = parts.input((inputs + extra,), offset)
    for n, layer in enumerate(model.layers, start=1):
        beta = nudge if n == model.depth and nudge is not None else 0.0
        parts.nodes[f"units_{n}"] = units((math.prod(layer.shape),), layer.activation, dtype, beta)
    for c, coupling in enumerate(model.couplings):
        ends = first if coupling.source == 0 else f"units_{coupling.source}", f"units_{coupling.target}"
        chain = unrolled.steps(coupling, model.weights[c])
        forward = {name: _linear(array(step)) for name, step in chain}
        if extra and coupling.source == 0:
            name, step = chain[0]
            forward[name] = nir.Linear(np.pad(array(step), ((0, 0), (0, extra))))
        bias = model.biases[coupling.target - 1]
        if bias is not None and c < model.depth:  # once, in the coupling from the layer before
            last = chain[-1][0]
            per_unit = bias.expand(model.layers[coupling.target - 1].shape).reshape(-1)
            forward[last] = nir.Affine(forward[last].weight, array(per_unit))
        parts.chain(ends[0], forward, ends[1])
        if sends_back(model, coupling):
            back = {f"back_{name}": _linear(array(step.t())) for name, step in reversed(chain)}
            parts.chain(ends[1], back, ends[0])
    if nudge is not None:
        pull = np.eye(model.outputs, dtype=dtype) * nudge
        target = {"target": nir.Linear(np.pad(pull.astype(dtype), ((0, 0), (inputs, 0))))}
        parts.chain("input", target, f"units_{model.depth}")
    parts.output(model.depth, model.outputs)


def _linear(step: Array) -> Any:
    return nir.Scale(step) if step.ndim == 1 else nir.Linear(step)
