"""From a NIR file or graph to a model: our own graphs come back bit for bit, others where they are chains of layers."""

from __future__ import annotations

from pathlib import Path

import nir

from mep_hw.errors import ModelError
from mep_hw.export.files import read_graph
from mep_hw.export.foreign import model_of_chain
from mep_hw.export.own import model_of_own
from mep_hw.model import Model
from mep_hw.spec import ActivationName


def from_nir(source: str | Path | nir.NIRGraph, *, activation: ActivationName | None = None) -> Model:
    """The model in a NIR file or graph.

    A graph of ours (rate profile) gives the model that was written: weights, biases, offset, activations, bit for bit.
    Any other must be a chain Input -> (Affine | Linear | Conv2d, pooling, LI | I)... -> Output, and becomes a model
    with symmetric couplings, which the graph did not have; a `Notice` says what was assumed.

    Args:
        activation: of the hidden layers of a foreign graph, as NIR has no field for it; default hard_sigmoid.

    Raises:
        ModelError: not a NIR file, damaged, of another version of ours, with a cycle that is not symmetric, or with
            nodes that have no counterpart, which are named.
    """
    where = "graph" if isinstance(source, nir.NIRGraph) else str(source)
    graph = source if isinstance(source, nir.NIRGraph) else read_graph(source)
    if "mep_format" not in graph.metadata:
        return model_of_chain(graph, where, activation)
    if activation is not None:
        rule, fix = "is part of a graph that mep_hw wrote", "leave it out"
        raise ModelError(where, "activation", activation, rule=rule, fix=fix)
    return model_of_own(graph, where)
