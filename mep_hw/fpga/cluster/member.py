"""The arithmetic of one node among others: its own layers, and the neighbours' states that it has last heard of.

A node and the layers next to its cuts are a chain like any other, so that a whole model's step and update serve as they
are: neighbouring layers are carried along and their new states thrown away. Below a cut the chain begins with an input
of zeros, since states there differ from phase to phase and an input does not. `Arithmetic` names what computes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from mep_hw.fpga import lfsr, oracle
from mep_hw.fpga.node import Node
from mep_hw.fpga.oracle import States
from mep_hw.fpga.spec import Format, Layer, Spec, Values, Whole

BELOW, ABOVE = -1, 1  # sides of a node
Settle: TypeAlias = Callable[[Spec, Values, Whole, States, int, Whole | None, Whole | None], States]
Learn: TypeAlias = Callable[
    [Spec, Values, Sequence[Whole], Whole, States, States], tuple[Values, tuple[Whole, ...]]
]  # fmt: skip


@dataclass(frozen=True)
class Arithmetic:
    """Functions with the signatures of the oracle's `settle` and `learn`, such as those of the compiled executable."""

    settle: Settle = oracle.settle
    learn: Learn = oracle.learn


class Member:
    """Node `node`, holding what `Node.held` gives it.

    Attributes:
        sides: where it has neighbours.
        states: (1, units) of the neighbour's layer below, the own layers, the neighbour's layer above; what there is.
    """

    def __init__(self, node: Node, held: Sequence[Whole], arithmetic: Arithmetic | None = None) -> None:
        self.node, self.spec = node, node.spec
        self.sides = tuple(side for side, cut in ((BELOW, not node.takes_input), (ABOVE, not node.has_readout)) if cut)
        self._arithmetic = arithmetic or Arithmetic()
        self._low, self._high = node.first - (BELOW in self.sides), node.last + (ABOVE in self.sides)
        self._chain, self._registers = self._cut()
        couplings = len(node.couplings)
        self._weights, self._biases = list(held[:couplings]), list(held[couplings:])
        self._x = self._target = np.zeros((1, 0), dtype=np.int64)
        self.states: States = ()

    @property
    def own(self) -> States:
        """States of the own layers, (1, units) each."""
        return self.own_of(self.states)

    def own_of(self, states: States) -> States:
        """The same of any `states` that this member has had."""
        return states[self.node.first - self._low : self.node.last - self._low + 1]

    def beside(self, side: int) -> int:
        """The neighbour's layer next to the cut."""
        return self._low if side == BELOW else self._high

    def begin(self, x: Whole, target: Whole) -> None:
        """A job: the free phase begins at rest, which no frame needs to tell.

        Args:
            x, target: (1, units), for the nodes that take them.
        """
        if BELOW in self.sides:
            x = np.zeros((1, self._chain.layers[0].units), dtype=np.int64)
        self._x, self._target = x, target
        rest = oracle.at_rest(self.spec, 1)
        self.states = rest[self._low - 1 : self._high]

    def edge(self, side: int) -> Whole:
        """Own states next to the cut, (units,): what a frame carries."""
        return self.own[0 if side == BELOW else -1][0]

    def hear(self, side: int, states: Whole) -> None:
        """A frame's states, (units,)."""
        new = states.astype(np.int64)[None]
        self.states = (new, *self.states[1:]) if side == BELOW else (*self.states[:-1], new)

    def step(self, beta: int) -> bool:
        """All own layers once; whether any state has moved.

        Args:
            beta: of the phase, with its sign, in units of 2^-beta_fraction.
        """
        nudge = (np.array([beta], dtype=np.int64), self._target) if self.node.has_readout and beta else (None, None)
        new = self._arithmetic.settle(self._chain, self._values(), self._x, self.states, 1, *nudge)
        kept = {layer - self._low for layer in self.node.layers}
        old, self.states = self.states, tuple(new[i] if i in kept else s for i, s in enumerate(self.states))
        return any(bool((a != b).any()) for a, b in zip(old, self.states, strict=True))

    def learn(self, plus: States, minus: States) -> None:
        """Update what the node holds from `states` at the ends of both nudged phases."""
        values, self._registers = self._arithmetic.learn(
            self._chain, self._values(), self._registers, self._x, plus, minus
        )
        first = BELOW in self.sides
        self._weights = list(values.weights[first:])
        self._biases = list(values.biases[first : first + len(self._biases)])

    def held(self) -> list[Whole]:
        """In the order of `Node.held`."""
        return [*self._weights, *self._biases]

    def _values(self) -> Values:
        chain, below, above = self._chain, BELOW in self.sides, ABOVE in self.sides
        weights, biases = list(self._weights), list(self._biases)
        if below:
            weights.insert(0, np.zeros((chain.layers[1].units, chain.layers[0].units), dtype=np.int64))
            biases.insert(0, np.zeros(chain.layers[1].units, dtype=np.int64))
        if above:
            biases.append(np.zeros(chain.layers[-1].units, dtype=np.int64))
        return Values(tuple(weights), tuple(biases))

    def _cut(self) -> tuple[Spec, tuple[Whole, ...]]:
        """The chain's specification, and its shift registers if it learns."""
        spec, low, high = self.spec, self._low, self._high
        layers, weights, sums = spec.layers[low - 1 : high + 1], spec.weights[low - 1 : high], spec.sums[low - 1 : high]
        shifts = spec.learning and [
            given[low - 1 : high] for given in (spec.learning.weight_shift, spec.learning.bias_shift)
        ]
        learning = spec.learning and shifts and spec.learning.model_copy(
            update={"weight_shift": shifts[0], "bias_shift": shifts[1]}
        )  # fmt: skip
        if BELOW in self.sides:
            zeros = Layer(units=spec.lanes, state=Format(bits=2, fraction=0), low=0, high=1, bias_bits=2)
            layers = (zeros, *layers[1:])
        chain = spec.model_copy(
            update={
                "layers": layers, "weights": weights, "sums": sums, "learning": learning,
                "nodes": (tuple(range(1, len(weights) + 1)),),
            }
        )  # fmt: skip
        if spec.learning is None:
            return chain, ()
        seeds, idle = lfsr.seeded(spec), np.ones(spec.lanes, dtype=np.int64)
        couplings = [seeds[c - 1] if c in self.node.couplings else idle for c in range(low, high + 1)]
        biases = [seeds[spec.depth + n - 1] if n in self.node.layers else idle for n in range(low, high + 1)]
        return chain, (*couplings, *biases)


def parts(spec: Spec, values: Values, arithmetic: Arithmetic | None = None) -> list[Member]:
    """One member for each node of a specification."""
    nodes = [Node(spec, index) for index in range(len(spec.nodes))]
    return [Member(node, node.held(values), arithmetic) for node in nodes]
