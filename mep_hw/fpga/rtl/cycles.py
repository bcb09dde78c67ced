"""Cycles of a job, exactly: what a node's counters say when no stream ever pauses.

A pass takes a cycle an operation. Whatever follows it and reads what it wrote waits `Shape.drain` cycles, between the
steps of a node without links only as many as its first layer has too few words to hide (`Shape.gap`). A word of values
that is sent takes three cycles more than its beats.

The whole of a job is known for a node without links; with links only what a node does between its waits.
"""

from __future__ import annotations

from dataclasses import dataclass

from mep_hw.fpga.node import EMIT_FREE, EMIT_MINUS, EMIT_PLUS, EMIT_READOUT, LEARN, NUDGE, Node
from mep_hw.fpga.rtl.config import Shape, shape


@dataclass(frozen=True)
class Cycles:
    """The counters CYCLES (None: not known), STATIC, SETTLE and BUSY after a RUN job."""

    total: int | None
    static: int
    settle: int
    busy: int

    def share(self, static_words: int = 0) -> float:
        """Of the steps' cycles in which the lanes multiply; with `static_words`, of those of the static drive too."""
        return (self.busy + static_words) / (self.settle + (self.static if static_words else 0))


def static_words(form: Shape) -> int:
    """Words of weights in the static drive."""
    return form.units[1] * form.words[0] if form.takes_input else 0


def step_words(form: Shape) -> int:
    """Words of weights in one step."""
    return form.weight_words - static_words(form)


def run(node: Node, flags: int) -> Cycles:
    """Of a RUN job with the steps of the specification."""
    form, spec = shape(node), node.spec
    phases = [spec.free_steps, *([spec.nudged_steps] * 2 if flags & NUDGE else [])]
    step = step_words(form) + form.state_words
    settle = sum(n * step + (n * form.drain if form.linked else (n - 1) * form.gap + form.drain) for n in phases)
    static = static_words(form) + form.drain if form.takes_input else 0
    busy = sum(phases) * step_words(form)
    if form.linked:
        return Cycles(None, static, settle, busy)
    taken = form.units[0] + (form.units[form.own] if flags & NUDGE else 0)
    every, top = sum(form.units[1:-1]), form.units[form.own]
    nudged = (EMIT_PLUS, EMIT_MINUS) if flags & NUDGE else ()
    sends = [every for flag in (EMIT_FREE, *nudged) if flags & flag]
    sends += [top] if flags & EMIT_READOUT else []
    rest = form.state_words + form.drain
    learning = form.weight_words + form.state_words + form.drain if flags & LEARN else 0
    total = taken + rest + static + settle + 2 * len(phases) + sum(sent(form, n) for n in sends) + learning + 1
    return Cycles(total, static, settle, busy)


def write(form: Shape) -> int:
    """CYCLES of a WRITE job."""
    return form.weight_words * form.lanes + sum(form.units[1:-1]) + 1


def read(form: Shape) -> int:
    """CYCLES of a READ job."""
    return sent(form, form.weight_words * form.lanes) + sent(form, sum(form.units[1:-1])) + 1


def sent(form: Shape, values: int) -> int:
    """Of a block of values on its way out."""
    return values + 3 * -(-values // form.lanes)
