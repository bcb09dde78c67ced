"""One FPGA of a cluster: which layers it computes, what it holds, and what crosses its streams. One board is one node.

A node owns the layers `first` to `last`. It holds their weights and, unless it owns the read-out, those of the coupling
to layer last + 1, which it only needs downward: both ends of a cut coupling hold it, and both learn the same, because
they see the same states and draw from the same registers. So only states of the layers next to a cut cross it.

**Jobs.** A host sends words of 32 bits, sign-extended, one value a beat, and sets an operation with its flags:

    WRITE   in: what the node holds, `held` in order: weights row by row, then biases
    READ    out: the same
    RUN     in: first node: x; then node of the read-out: y, if NUDGE is set (a lone node takes x, then y)
            out: per flag, the node's own layers in order: EMIT_FREE after the free phase, EMIT_READOUT the read-out
            of the free phase only (other nodes send nothing), EMIT_PLUS, EMIT_MINUS after the nudged phases

The last beat of a job's output has TLAST. NUDGE runs the phases +beta and -beta after the free one, both from the free
state; LEARN, which needs NUDGE, then updates what the node holds. Shift registers begin at their seeds after a reset.

**Links.** Neighbours send each other frames of 32-bit words, TLAST on the last: a header, then the states of the layer
next to the cut, one value a word. Header: bits 15..0 the number n of the frame in its phase, 17..16 the phase (0 free,
1 plus, 2 minus), 31..18 the lower bits of the number of the job since reset. A phase of T steps has the frames 0
(where it starts) to T (where it ends); step n waits for frame n, and the phase ends when frame T is there. A neighbour
is never more than one frame ahead, so that two banks hold all that can arrive.
"""

from __future__ import annotations

from dataclasses import dataclass

from mep_hw.fpga.spec import Spec, Values, Whole

WRITE, READ, RUN = 1, 2, 3  # operations
NUDGE, LEARN, EMIT_FREE, EMIT_READOUT, EMIT_PLUS, EMIT_MINUS = (1 << bit for bit in range(6))  # flags of RUN
ASYNC = 1 << 6  # flag of RUN: steps do not wait for frames; SystemVerilog nodes with links only
PHASES = ("free", "plus", "minus")


@dataclass(frozen=True)
class Node:
    """Node `index` of a specification."""

    spec: Spec
    index: int

    @property
    def first(self) -> int:
        return self.spec.nodes[self.index][0]

    @property
    def last(self) -> int:
        return self.spec.nodes[self.index][-1]

    @property
    def layers(self) -> range:
        """Own layers, counted from 1 in the whole model."""
        return range(self.first, self.last + 1)

    @property
    def couplings(self) -> range:
        """Held couplings; coupling c comes into layer c from layer c - 1. The last may be the cut above."""
        return range(self.first, min(self.last + 1, self.spec.depth) + 1)

    @property
    def takes_input(self) -> bool:
        return self.first == 1

    @property
    def has_readout(self) -> bool:
        return self.last == self.spec.depth

    def held(self, values: Values) -> list[Whole]:
        """What WRITE takes and READ sends, in order: weights of `couplings`, then biases of `layers`."""
        return [*(values.weights[c - 1] for c in self.couplings), *(values.biases[n - 1] for n in self.layers)]


def header(job: int, phase: int, frame: int) -> int:
    """The first word of a frame."""
    return (job & 0x3FFF) << 18 | phase << 16 | frame
