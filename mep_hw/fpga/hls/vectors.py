"""Jobs for a node, and the answers the oracle gives: what its test bench compares, word by word, frames included.

`fpga/hls/tb/jobs.h` describes the text that both are written in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mep_hw.fpga import oracle
from mep_hw.fpga.lfsr import seeded
from mep_hw.fpga.node import (
    EMIT_FREE,
    EMIT_MINUS,
    EMIT_PLUS,
    EMIT_READOUT,
    LEARN,
    NUDGE,
    PHASES,
    READ,
    RUN,
    WRITE,
    Node,
    header,
)
from mep_hw.fpga.spec import Spec, Values, Whole


@dataclass(frozen=True)
class Words:
    """Of one job: its operation and flags, words in and out on every stream, and the status it ends with.

    Frames of links are lists of words of their own, since each of them has a last word.
    """

    operation: int
    flags: int = 0
    takes: Sequence[int] = ()
    gives: Sequence[int] = ()
    below_in: Sequence[Sequence[int]] = ()
    below_out: Sequence[Sequence[int]] = ()
    above_in: Sequence[Sequence[int]] = ()
    above_out: Sequence[Sequence[int]] = ()

    def job(self, spec: Spec) -> str:
        numbers = self.operation, self.flags, spec.free_steps, spec.nudged_steps, spec.beta
        streams = _line("in", [self.takes]) + _line("below", self.below_in) + _line("above", self.above_in)
        return f"job {' '.join(map(str, numbers))}\n{streams}"

    def answer(self) -> str:
        streams = _line("out", [self.gives]) + _line("below", self.below_out) + _line("above", self.above_out)
        return f"answer 0\n{streams}"


def flat(values: Iterable[Whole]) -> list[int]:
    return [int(v) for value in values for v in value.ravel()]


def taken(node: Node, x: Whole, target: Whole | None) -> list[int]:
    """What a RUN takes: x (inputs,) at the first node, then target (outputs,), unless there is none, at the last."""
    return flat([*([x] if node.takes_input else []), *([target] if node.has_readout and target is not None else [])])


def samples(spec: Spec, count: int = 3, seed: int = 0) -> tuple[Whole, Whole]:
    """Inputs within their range, the last of them at its ends, and targets of one class each."""
    random, first, top = np.random.default_rng(seed), spec.layers[0], spec.layers[-1]
    x = random.integers(first.low, first.high, (count, first.units), endpoint=True, dtype=np.int64)
    x[-1] = random.choice([first.low, first.high], first.units)
    y = np.full((count, top.units), max(0, top.low), dtype=np.int64)
    y[np.arange(count), random.integers(top.units, size=count)] = min(1 << top.state.fraction, top.high)
    return x, y


def bench(node: Node, values: Values, x: Whole, target: Whole) -> list[Words]:
    """All operations and flags: read the first contents, run every sample (and learn), read, write, read."""
    spec, first = node.spec, flat(node.held(values))
    registers = seeded(spec) if spec.learning else ()
    flags = NUDGE | EMIT_FREE | EMIT_PLUS | EMIT_MINUS | (LEARN if spec.learning else 0)
    words = [Words(READ, gives=first)]
    words += [_run(node, values, x[:1], target[:1], job, flag) for job, flag in enumerate((EMIT_FREE, EMIT_READOUT))]
    for row in range(len(x)):
        one = slice(row, row + 1)
        words.append(_run(node, values, x[one], target[one], row + 2, flags))
        if spec.learning:
            done = oracle.run(spec, values, x[one], target[one])
            values, registers = oracle.learn(spec, values, registers, x[one], done.plus, done.minus)
    return [*words, Words(READ, gives=flat(node.held(values))), Words(WRITE, takes=first), Words(READ, gives=first)]


def _run(node: Node, values: Values, x: Whole, target: Whole, job: int, flags: int) -> Words:
    """One sample, (1, units), as RUN number `job`."""
    spec, gives = node.spec, list[int]()
    links: dict[str, list[list[int]]] = {"below_in": [], "below_out": [], "above_in": [], "above_out": []}
    free = oracle.at_rest(spec, 1)
    for phase in range(len(PHASES) if flags & NUDGE else 1):
        state = free
        beta = np.array([spec.beta if PHASES[phase] == "plus" else -spec.beta]) if phase else None
        for step in range((spec.nudged_steps if phase else spec.free_steps) + 1):
            if step:
                state = oracle.settle(spec, values, x, state, 1, beta, target)
            for port, layer in _ends(node).items():
                links[port].append([_header(job, phase, step), *flat([state[layer - 1]])])
        if flags & (EMIT_FREE, EMIT_PLUS, EMIT_MINUS)[phase]:
            gives += flat(state[layer - 1] for layer in node.layers)
        if phase == 0:
            free = state
            gives += flat([state[-1]]) if flags & EMIT_READOUT and node.has_readout else []
    return Words(RUN, flags, taken(node, x[0], target[0] if flags & NUDGE else None), gives, **links)


def _ends(node: Node) -> dict[str, int]:
    """The layer whose states cross each port."""
    below = {} if node.takes_input else {"below_in": node.first - 1, "below_out": node.first}
    return below if node.has_readout else below | {"above_in": node.last + 1, "above_out": node.last}


def _header(job: int, phase: int, frame: int) -> int:
    """The header as a signed word."""
    word = header(job, phase, frame)
    return word - (1 << 32) if word >> 31 else word


def _line(key: str, groups: Sequence[Sequence[int]]) -> str:
    """Words in decimal, a point behind the last of each group."""
    words = [f"{v}." if i == len(group) - 1 else f"{v}" for group in groups for i, v in enumerate(group)]
    return f"{' '.join([key, str(len(words)), *words])}\n"
