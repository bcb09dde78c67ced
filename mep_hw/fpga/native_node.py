"""One node of a cluster in native integers: one step, and one update, from what it holds and what crosses its links.

What a node holds is the list of `Node.held`. Ghosts are the states of the layers next to its own, as frames bring them.
All arrays are int64 with rows of samples first, and what comes out is new.
"""

from __future__ import annotations

from collections.abc import Sequence

from mep_hw.fpga.lfsr import seeded
from mep_hw.fpga.native import Part, learned, learned_bias
from mep_hw.fpga.node import Node
from mep_hw.fpga.oracle import States
from mep_hw.fpga.spec import Whole


def static(node: Node, held: Sequence[Whole], x: Whole) -> Whole:
    """What the input (rows, units of layer 0) adds to layer 1 in every step, for a node that takes it."""
    return _part(node).up(held[0], x)


def step(
    node: Node,
    held: Sequence[Whole],
    drive: Whole | None,
    own: Sequence[Whole],
    below: Whole | None,
    above: Whole | None,
    beta: Whole | None = None,
    target: Whole | None = None,
) -> States:
    """The node's states after one step.

    Args:
        drive: from `static` at a node that takes the input, else None.
        own: states (rows, units) of the node's layers.
        below: states of the layer below the first, None where `drive` is given.
        above: states of the layer above the last, None at the read-out.
        beta, target: (rows,) in units of 2^-beta_fraction and (rows, outputs); looked at by the read-out's node only.
    """
    part, couplings = _part(node), len(node.couplings)
    if drive is None:
        assert below is not None
        drive = part.up(held[0], below)
    down = None
    if not node.has_readout:
        assert above is not None
        down = part.down(held[couplings - 1], above)
        beta = target = None
    own_weights, biases = held[: len(node.layers)], held[couplings:]
    return part.settle(own_weights, biases, drive, own, 1, beta, target, down)


def registers(node: Node) -> list[Whole]:
    """Initial shift registers (lanes,) of what the node holds, in the order of `held`."""
    found, depth = seeded(node.spec), node.spec.depth
    return [*(found[c - 1] for c in node.couplings), *(found[depth + n - 1] for n in node.layers)]


def learn(
    node: Node, held: Sequence[Whole], drawn: Sequence[Whole], plus: Sequence[Whole], minus: Sequence[Whole]
) -> tuple[list[Whole], list[Whole]]:
    """What the node holds, and its shift registers, after the updates of one sample (row) after the other.

    Args:
        plus, minus: states (rows, units) of the layers first - 1 (x or the ghost below), the node's own, and last + 1
            (the ghost above) unless the node has the read-out, after the phases with +beta and -beta.
    """
    spec, below = node.spec, node.first - 1
    found = [
        learned(
            spec, c, weights, register, (plus[c - below], plus[c - 1 - below], minus[c - below], minus[c - 1 - below])
        )
        for c, weights, register in zip(node.couplings, held, drawn, strict=False)
    ]
    rest = len(node.couplings)
    found += [
        learned_bias(spec, n, biases, register, plus[n - below], minus[n - below])
        for n, biases, register in zip(node.layers, held[rest:], drawn[rest:], strict=True)
    ]
    return [values for values, _ in found], [register for _, register in found]


def _part(node: Node) -> Part:
    return Part(node.spec, node.first, node.last)
