"""Check of refusals: what a card does not list is turned down before anything changes.

`EXAMPLES` holds one cycle of every kind that a schedule can contain, with the write mode it belongs to. A kind missing
there is found by a test, so that every machine is asked about every kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from mep_hw import estimator
from mep_hw.cards.schema import BackendCard, WriteMode
from mep_hw.compiler import compile
from mep_hw.conformance.problems import problem
from mep_hw.conformance.report import Finding, fact
from mep_hw.conformance.subject import Running, Subject, held, start
from mep_hw.errors import CapabilityError, InputError
from mep_hw.schedule import Cell, Cycle, Hold, Outer, Read, Refresh, Registers, Row, Schedule, Transfer


@dataclass(frozen=True)
class Example:
    """A kind of cycle: which cards execute it, and one of that kind that changes these weights a little, or takes a
    look at them."""

    executed: Callable[[BackendCard], bool]
    cycle: Callable[[Tensor], Cycle]


def _mode(mode: WriteMode) -> Callable[[BackendCard], bool]:
    return lambda card: mode in card.write_modes


def _array(card: BackendCard) -> bool:
    return card.array is not None


def _transfers(card: BackendCard) -> bool:
    return card.array is not None and card.array.transfer is not None


def _registers(weights: Tensor) -> Cycle:
    return Registers(torch.full_like(weights, 0.01))


def _outer(weights: Tensor) -> Cycle:
    out, inputs = weights.flatten(1).shape
    return Outer(torch.ones(1, inputs, dtype=torch.int8), torch.ones(1, out, dtype=torch.int8), (1,))


def _row(weights: Tensor) -> Cycle:
    return Row(torch.ones_like(weights.flatten(1), dtype=torch.int32))


def _cell(weights: Tensor) -> Cycle:
    return Cell(torch.full_like(weights, 0.1), 0.01, 10)


EXAMPLES: dict[type, Example] = {
    Registers: Example(_mode("exact"), _registers),
    Outer: Example(_mode("outer"), _outer),
    Row: Example(_mode("row"), _row),
    Cell: Example(_mode("cell"), _cell),
    Refresh: Example(_array, lambda _: Refresh(0.01, 10)),
    Read: Example(_array, lambda _: Read(None, 1)),
    Transfer: Example(_transfers, lambda _: Transfer(1)),
    Hold: Example(_array, lambda _: Hold(0.0)),
}


@dataclass(frozen=True)
class Unheard:
    """A cycle of a kind that no machine knows."""


def refuse(subject: Subject) -> Iterator[Finding]:
    """Cycles, write modes, models and complex states that the card does not list are refused, and the weights stay."""
    run = start(subject, problem("mlp"))
    c = run.machine.model.trainable[0]
    weights = run.machine.read(c)
    small = torch.full_like(weights, 0.01)
    known = subject.schedule(run.machine, c, small)
    yield _refuses(run, "unknown", c, Schedule((*known.cycles, cast("Cycle", Unheard())), known.intended))
    for kind, example in EXAMPLES.items():
        if not example.executed(subject.card):
            cycles = (*known.cycles, example.cycle(weights))
            yield _refuses(run, kind.__name__, c, Schedule(cycles, known.intended))
    # Not validated: no real card lists a mode that nobody has heard of.
    card = subject.card.model_copy(update={"write_modes": ("unheard",)})
    try:
        compile(small, None, card, subject.device)
    except InputError:
        yield fact("an update is not compiled for a write mode that nobody knows", True)
    else:
        yield fact("an update is not compiled for a write mode that nobody knows", False)
    for kind in subject.bars.unsupported_models:
        yield _refuses_model(subject, kind)
    if not subject.card.complex_states and subject.supports("deep"):
        method = estimator.make("holomorphic", subject.card.training.beta)
        smooth = start(subject, problem("deep"))
        try:
            method.total(smooth.machine, smooth.inputs, smooth.target)
        except CapabilityError:
            yield fact("the holomorphic estimator is refused, as the card lists no complex states", True)
        else:
            yield fact("the holomorphic estimator is refused, as the card lists no complex states", False)


def _refuses_model(subject: Subject, kind: str) -> Finding:
    what = f"a model of kind {kind} is refused, as the card says"
    try:
        run = start(subject, problem(kind))
        run.machine.settle(run.inputs)
    except InputError:
        return fact(what, True)
    return fact(what, False)


def _refuses(run: Running, kind: str, c: int, schedule: Schedule) -> Finding:
    before = held(run.machine)
    try:
        run.machine.apply(c, schedule)
    except CapabilityError:
        same = all(torch.equal(a, b) for a, b in zip(before, held(run.machine), strict=True))
        return fact(f"a schedule with a cycle of kind {kind} is refused before any of it is executed", same)
    return fact(f"a schedule with a cycle of kind {kind} is refused", False)
