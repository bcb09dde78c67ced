"""Every check of an exported folder that this machine's tools allow, each against the oracle, and which were not run.

Inputs are drawn from the ranges of the specification, some at their ends. A passed check of an executable means that
every state of every phase, and with learning every weight and bias afterwards, has the same bits as the oracle's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Literal

import numpy as np

from mep_hw.errors import MachineError
from mep_hw.fpga import oracle, proof
from mep_hw.fpga.oracle import Execute, Job, States
from mep_hw.fpga.spec import Spec, Values, Whole
from mep_hw.fpga.tools import Missing

Status = Literal["passed", "failed", "not run"]


@dataclass(frozen=True)
class Check:
    """detail: what was compared, what was wrong, or why it was not run."""

    name: str
    status: Status
    detail: str


@dataclass(frozen=True)
class Samples:
    """x (rows, inputs) and targets (rows, outputs), and what the oracle makes of them."""

    x: Whole
    target: Whole
    learning: bool
    job: Job
    values: Values


def samples(spec: Spec, values: Values, *, states: int, seed: int = 0) -> Samples:
    """Enough samples for so many states in all phases: half of them anywhere in range, half at its ends."""
    random = np.random.default_rng(seed)
    rows = max(
        4, ceil(states / (3 * sum(layer.units for layer in spec.layers[1:])))
    )  # of a large model, too, some at the ends
    bottom, top = spec.layers[0], spec.layers[-1]
    x = random.integers(bottom.low, bottom.high, (rows, bottom.units), endpoint=True)
    x[1::2] = random.choice([bottom.low, bottom.high], x[1::2].shape)
    target = np.zeros((rows, top.units), dtype=np.int64)
    target[np.arange(rows), random.integers(top.units, size=rows)] = min(1 << top.state.fraction, top.high)
    target[1::2] = random.choice([top.state.least, top.state.most], target[1::2].shape)
    learning = spec.learning is not None
    return Samples(x, target, learning, *oracle.execute(spec, values, x, target, learning))


def proved(spec: Spec, values: Values) -> Check:
    """Do the sums of the specification hold everything that can come up?"""
    needed = proof.sums(spec, None if spec.learning else values)
    wrong = [
        f"layer {n}: {kind} needs {getattr(need, kind)} bits and has {getattr(has, kind)}"
        for n, (need, has) in enumerate(zip(needed, spec.sums, strict=True), start=1)
        for kind in ("up", "down", "total")
        if getattr(need, kind) > getattr(has, kind)
    ]
    widest = max(sums.total for sums in spec.sums)
    return Check("no sum overflows", "failed" if wrong else "passed", "; ".join(wrong) or f"widest: {widest} bits")


def compared(name: str, execute: Execute, spec: Spec, values: Values, wanted: Samples) -> Check:
    """One executable against the oracle."""
    return attempted(name, lambda: judged(*execute(spec, values, wanted.x, wanted.target, wanted.learning), wanted))


def judged(job: Job, after: Values, wanted: Samples) -> tuple[Status, str]:
    """Status and detail of what an executable made of samples."""
    count, wrong = 0, 0
    for phase in ("free", "plus", "minus"):
        found, right = getattr(job, phase), getattr(wanted.job, phase)
        count += sum(state.size for state in right)
        wrong += _differing(found, right)
    text = f"{count} states"
    if wanted.learning:
        learned = (*wanted.values.weights, *wanted.values.biases)
        changed = _differing((*after.weights, *after.biases), learned)
        count += sum(value.size for value in learned)
        wrong += changed
        text += f", {sum(value.size for value in learned)} learned weights and biases"
    return ("failed", f"{wrong} of {count} numbers differ") if wrong else ("passed", f"{text}, no difference")


def attempted(name: str, check: Callable[[], tuple[Status, str]]) -> Check:
    """What a check found; not run, where a tool is missing; failed, where a tool did."""
    try:
        return Check(name, *check())
    except Missing as error:
        return Check(name, "not run", str(error))
    except MachineError as error:
        return Check(name, "failed", str(error))


def _differing(found: States, right: States) -> int:
    return sum(
        right_one.size if found_one.shape != right_one.shape else int((found_one != right_one).sum())
        for found_one, right_one in zip(found, right, strict=True)
    )
