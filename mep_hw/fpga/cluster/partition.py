"""Which layers each node computes: contiguous, cut between layers, the fullest node as light as can be.

A node's load is the larger of two shares of the whole model: of the multiplications of a step (coupling 1 is left out,
its product is computed once a sample) and of the memory for weights. A coupling that is cut counts for both of its
ends, as both hold it. Dynamic programming over the cuts finds the least possible load of the fullest node; among
equals the earliest cuts. Links and the time of a step's other parts are not weighed.
"""

from __future__ import annotations

from fractions import Fraction

from mep_hw.errors import InputError
from mep_hw.fpga.spec import Spec


def partition(spec: Spec, nodes: int) -> tuple[tuple[int, ...], ...]:
    """Layers (from 1) of each of `nodes` nodes, for the field `nodes` of a specification, whose own is not looked at.

    Raises:
        InputError: no nodes, or more than layers.
    """
    if not 1 <= nodes <= spec.depth:
        raise InputError(
            spec.name, "nodes", nodes, rule=f"must be from 1 to {spec.depth}, the number of layers behind the input",
            fix=f"take {min(max(nodes, 1), spec.depth)} nodes",
        )  # fmt: skip
    best = {0: (Fraction(0), ())}  # layers placed so far -> load of the fullest node, where nodes end
    for left in range(nodes - 1, -1, -1):
        best = {
            end: min(
                (max(most, load(spec, range(begin + 1, end + 1))), (*ends, end))
                for begin, (most, ends) in best.items()
                if begin < end
            )
            for end in range(min(best) + 1, spec.depth - left + 1)
        }
    ends = best[spec.depth][1]
    return tuple(tuple(range(begin + 1, end + 1)) for begin, end in zip((0, *ends), ends, strict=False))


def on_nodes(spec: Spec, nodes: int) -> Spec:
    """The same specification on `nodes` nodes; raises as `partition` does."""
    return spec.model_copy(update={"nodes": partition(spec, nodes)})


def load(spec: Spec, layers: range) -> Fraction:
    """Of a node with these layers: the larger of its shares of multiplications and of memory."""
    held = range(layers[0], min(layers[-1] + 1, spec.depth) + 1)
    every = range(1, spec.depth + 1)
    products = sum(_weights(spec, c) for c in every[1:])
    memory = sum(_weights(spec, c) * spec.weights[c - 1].bits for c in every)
    return max(
        Fraction(sum(_weights(spec, c) for c in held if c > 1), max(products, 1)),
        Fraction(sum(_weights(spec, c) * spec.weights[c - 1].bits for c in held), memory),
    )


def cycles_per_step(spec: Spec, index: int) -> int:
    """A simple model of a node's step: `lanes` weights a cycle, each read once for both directions, and the filling of
    the pipeline. The engine's own formula is exact; this one is for comparing links."""
    layers = spec.nodes[index]
    held = range(max(layers[0], 2), min(layers[-1] + 1, spec.depth) + 1)
    return FILLING + sum(spec.layers[c].units * -(-spec.layers[c - 1].units // spec.lanes) for c in held)


FILLING = 12  # cycles of a step in which no weight is read


def _weights(spec: Spec, coupling: int) -> int:
    return spec.layers[coupling].units * spec.layers[coupling - 1].units
