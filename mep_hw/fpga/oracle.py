"""The specification in NumPy's 64-bit integers: the reference that every other executable is compared with.

Written to be read beside `mep_hw.fpga.spec`, not to be fast. `Sums` of a specification are proved to fit in 63 bits, so
nothing wraps here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from mep_hw.fpga.lfsr import advance, seeded
from mep_hw.fpga.spec import Format, Spec, Values, Whole

States = tuple[Whole, ...]  # (rows, units) of layers 1 to L


@dataclass(frozen=True)
class Job:
    """What one run of a chip leaves: the states of layers 1 to L after each of its phases, (rows, units)."""

    free: States
    plus: States
    minus: States


Execute: TypeAlias = Callable[[Spec, Values, Whole, Whole, bool], tuple[Job, Values]]
"""What every executable offers, see `execute`: specification, values, x, target, learning."""


def execute(spec: Spec, values: Values, x: Whole, target: Whole, learning: bool = False) -> tuple[Job, Values]:
    """One job per sample (row) after the other, and the values afterwards.

    Args:
        learning: update weights and biases after every sample; shift registers begin at their seeds.
    """
    return in_turn(run, learn, spec, values, x, target, learning)


def in_turn(
    run: Callable[[Spec, Values, Whole, Whole], Job],
    learn: Callable[[Spec, Values, Sequence[Whole], Whole, States, States], tuple[Values, tuple[Whole, ...]]],
    spec: Spec,
    values: Values,
    x: Whole,
    target: Whole,
    learning: bool,
) -> tuple[Job, Values]:
    """`execute` by any executable's `run` and `learn`."""
    if not learning:
        return run(spec, values, x, target), values
    registers, jobs = seeded(spec), list[Job]()
    for row in range(len(x)):
        one = slice(row, row + 1)
        jobs.append(run(spec, values, x[one], target[one]))
        values, registers = learn(spec, values, registers, x[one], jobs[-1].plus, jobs[-1].minus)
    return Job(*(tuple(map(np.concatenate, zip(*phase, strict=True))) for phase in _by_phase(jobs))), values


def rounded(value: Whole, bits: int) -> Whole:
    """value / 2^bits to the nearest, halves upward."""
    return (value + (1 << (bits - 1))) >> bits if bits else value


def at_rest(spec: Spec, rows: int) -> States:
    """Where a free phase begins."""
    return tuple(np.full((rows, layer.units), layer.rest, dtype=np.int64) for layer in spec.layers[1:])


def settle(
    spec: Spec,
    values: Values,
    x: Whole,
    start: States,
    steps: int,
    beta: Whole | None = None,
    target: Whole | None = None,
) -> States:
    """One phase.

    Args:
        x: (rows, units of layer 0).
        beta: (rows,) in units of 2^-beta_fraction; None: the free phase.
        target: (rows, units of the read-out), in the format of its states.
    """
    static = x @ values.weights[0].T
    state = tuple(start)
    for _ in range(steps):
        state = _stepped(spec, values, static, state, beta, target)
    return state


def run(spec: Spec, values: Values, x: Whole, target: Whole) -> Job:
    """The three phases of every sample, as a chip runs them."""
    beta = np.full(len(x), spec.beta, dtype=np.int64)
    free = settle(spec, values, x, at_rest(spec, len(x)), spec.free_steps)
    plus = settle(spec, values, x, free, spec.nudged_steps, beta, target)
    return Job(free, plus, settle(spec, values, x, free, spec.nudged_steps, -beta, target))


def learn(
    spec: Spec, values: Values, registers: Sequence[Whole], x: Whole, plus: States, minus: States
) -> tuple[Values, tuple[Whole, ...]]:
    """The update of one sample after the other, (rows, units) each; weights and shift registers afterwards."""
    assert spec.learning is not None
    weights, biases = [w.copy() for w in values.weights], [b.copy() for b in values.biases]
    held = [register.copy() for register in registers]
    for row in range(len(x)):
        up, low = [x[row], *(s[row] for s in plus)], [x[row], *(s[row] for s in minus)]
        for c in range(spec.depth):
            moved = np.outer(up[c + 1], up[c]) - np.outer(low[c + 1], low[c])
            _add(weights[c], moved, held, c, spec.learning.weight_shift[c], spec.weights[c])
        for c in range(spec.depth):
            moved = up[c + 1] - low[c + 1]
            _add(biases[c], moved, held, spec.depth + c, spec.learning.bias_shift[c], spec.layers[c + 1].bias)
    return Values(tuple(weights), tuple(biases)), tuple(held)


def _by_phase(jobs: Sequence[Job]) -> tuple[list[States], list[States], list[States]]:
    return [job.free for job in jobs], [job.plus for job in jobs], [job.minus for job in jobs]


def _stepped(
    spec: Spec, values: Values, static: Whole, state: States, beta: Whole | None, target: Whole | None
) -> States:
    new: list[Whole] = []
    for l in range(1, spec.depth + 1):
        layer, own = spec.layers[l], state[l - 1]
        bias_shift, up_shift, down_shift = spec.shifts(l)
        total = values.biases[l - 1] << bias_shift
        total = total + ((static if l == 1 else state[l - 2] @ values.weights[l - 1].T) << up_shift)
        if l < spec.depth:
            total = total + ((state[l] @ values.weights[l]) << down_shift)
        pull = np.int64(0)
        if l == spec.depth and beta is not None:
            assert target is not None
            pull = rounded(beta[:, None] * (target - own), spec.beta_fraction)
        head = spec.headroom(l)
        change = rounded(total + ((pull - own) << head), head + spec.step_shift)
        new.append(np.clip(own + change, layer.low, layer.high))
    return tuple(new)


def _add(held: Whole, moved: Whole, registers: list[Whole], index: int, shift: int, form: Format) -> None:
    """Add `moved` / 2^shift to weights or biases in place, rounded by the registers' draws."""
    lanes = len(registers[index])
    rows, changes = held.reshape(-1, held.shape[-1]), moved.reshape(-1, moved.shape[-1])
    for row in range(len(rows)):
        for first in range(0, rows.shape[1], lanes):
            registers[index] = advance(registers[index])
            part = slice(first, min(first + lanes, rows.shape[1]))
            drawn = (registers[index] >> (32 - shift))[: part.stop - part.start]
            rows[row, part] += (changes[row, part] + drawn) >> shift
    np.clip(held, form.least, form.most, out=held)
