"""The order of the nodes in a foreign graph: one path from Input to Output, and single matrices that lead back.

Anything else that branches or joins has no counterpart in a model made of layers, or cannot be told apart from one that
means something else, and is refused with the node named.
"""

from __future__ import annotations

from dataclasses import dataclass

import nir
import numpy as np

from mep_hw.errors import ModelError

UNITS = (nir.LI, nir.I)
WEIGHTED = (nir.Affine, nir.Linear, nir.Conv2d)
_SUPPORTED = "Input, Output, Affine, Linear, Conv2d, AvgPool2d, Flatten, LI, I"
_KNOWN = (nir.Input, nir.Output, nir.AvgPool2d, nir.Flatten, *UNITS, *WEIGHTED)


@dataclass(frozen=True)
class Back:
    """A node from a layer of units back to one before it."""

    source: str
    node: str
    target: str


def ordered(graph: nir.NIRGraph, where: str) -> list[str]:
    """Names of the nodes on the way, without Input and Output.

    Raises:
        ModelError: a node of another type, more than one input, a branch, nodes that no path leads to, or a cycle that
            is not symmetric.
    """
    for name, node in graph.nodes.items():
        if type(node) not in _KNOWN:
            raise _refused(where, graph, name, "has no counterpart in a model", f"use {_SUPPORTED}")
    inputs = [name for name, node in graph.nodes.items() if isinstance(node, nir.Input)]
    if len(inputs) != 1:
        rule, fix = "there must be exactly one Input", "join inputs into one"
        raise ModelError(where, "inputs", ", ".join(inputs), rule=rule, fix=fix)
    after = {name: [b for a, b in graph.edges if a == name] for name in graph.nodes}
    path, backs = [inputs[0]], list[Back]()
    while not isinstance(graph.nodes[path[-1]], nir.Output):
        here = path[-1]
        onward = list[str]()
        for name in after[here]:
            targets = after[name]
            single = len(targets) == 1 and isinstance(graph.nodes[name], nir.Affine | nir.Linear)
            if single and targets[0] in path and isinstance(graph.nodes[targets[0]], UNITS):
                backs.append(Back(here, name, targets[0]))
            else:
                onward.append(name)
        if len(onward) != 1 or onward[0] in path:
            rule = f"must lead to one next node, and leads to {', '.join(onward) or 'none'}"
            fix = "give a chain of layers; for skips write the model down in YAML, see docs/models.md"
            raise _refused(where, graph, here, rule, fix)
        path.append(onward[0])
    lost = set(graph.nodes) - {*path, *(back.node for back in backs)}
    if lost:
        name = min(lost)
        raise _refused(where, graph, name, "is not on the way from Input to Output", "remove it")
    for back in backs:
        _require_symmetric(graph, path, back, where)
    return path[1:-1]


def _require_symmetric(graph: nir.NIRGraph, path: list[str], back: Back, where: str) -> None:
    """A way back must be the transpose of the way there, which is a single matrix."""
    there = path[path.index(back.target) + 1 : path.index(back.source)]
    forward, backward = graph.nodes[there[0]] if there else None, graph.nodes[back.node]
    assert isinstance(backward, nir.Affine | nir.Linear)  # no other is taken for a way back
    plain = len(there) == 1 and not (isinstance(backward, nir.Affine) and np.any(backward.bias))
    matrix = forward.weight if isinstance(forward, nir.Affine | nir.Linear) else np.empty((0, 0))
    if not (plain and np.array_equal(matrix.T, backward.weight)):
        names = f"{there[0] if there else back.target} and {back.node}"
        rule = "is not symmetric: the second must be the transpose of the first, without a bias"
        fix = "make it so, or remove the node that leads back"
        raise ModelError(where, f"cycle of {names}", rule=rule, fix=fix)


def _refused(where: str, graph: nir.NIRGraph, name: str, rule: str, fix: str) -> ModelError:
    return ModelError(where, f"node {name} ({type(graph.nodes[name]).__name__})", rule=rule, fix=fix)
