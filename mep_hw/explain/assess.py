"""What one form makes of an update: its cost, its pulses, what it leaves, and how far off the rest will be.

Costs and pulses are those of realising the whole update, as forms are compared by; what is left and the expected error
are those of the schedule that would be executed, with the card's own rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mep_hw.array.scale import pulse_step
from mep_hw.cards.array import ArrayOptions
from mep_hw.cards.schema import BackendCard, DeviceCard, WriteMode
from mep_hw.compiler import forms
from mep_hw.compiler.budget import Budget, Figures, figures
from mep_hw.compiler.choose import Candidate, candidate
from mep_hw.compiler.predict import expected
from mep_hw.explain.counts import Counts, counted, drawn, rounded
from mep_hw.explain.realised import missed
from mep_hw.outersum import dense
from mep_hw.schedule.cost import Cost
from mep_hw.schedule.ir import Cell, Outer, Row, Schedule
from mep_hw.schedule.pulses import per_cell

STRONG = "outer, strong directions"


@dataclass(frozen=True)
class Form:
    """A row of an explanation; None: unknown, or the form cannot be executed.

    objection: why the device cannot be written so; None: it can.
    pulses_mean, pulses_p99, pulses_max: of one cell; for verified writes of cells of a sample.
    wear: of the most pulsed cell, as a share of its endurance.
    error: expected Frobenius norm of what is missed by chance or by the cells, over that of the update.
    left: of what is left to later updates on purpose, over that of the update.
    over: limits of the budget that it exceeds.
    """

    form: str
    objection: str | None = None
    cost: Cost | None = None
    pulses_mean: float | None = None
    pulses_p99: float | None = None
    pulses_max: float | None = None
    wear: float | None = None
    error: float | None = None
    left: float | None = None
    over: tuple[str, ...] = ()


@dataclass(frozen=True)
class Assessed:
    """A form with what was made to find out; pulses (arrays, out, in), None where they are not known of each cell."""

    form: Form
    found: Candidate
    pulses: Tensor | None


def assess(
    mode: WriteMode, total: Tensor, backend: BackendCard, options: ArrayOptions, device: DeviceCard, held: Tensor,
    budget: Budget | None,
) -> Assessed:  # fmt: skip
    """One form of a dense update (out, in) of weights that hold `held`."""
    found = candidate(mode, total, backend, options, device, torch.Generator().manual_seed(0), held)
    return _assessed(mode, total, found, backend, device, held, budget)


def strong_only(
    total: Tensor, found: Candidate, backend: BackendCard, device: DeviceCard, held: Tensor, budget: Budget | None
) -> Assessed:
    """Outer products as they would be executed, without the directions that are left to later updates."""
    return _assessed(STRONG, total, replace(found, schedule=found.made), backend, device, held, budget)


def _assessed(
    name: str, total: Tensor, found: Candidate, backend: BackendCard, device: DeviceCard, held: Tensor,
    budget: Budget | None,
) -> Assessed:  # fmt: skip
    made = found.made
    size, (cycle,) = float(total.double().norm()), made.cycles
    pulses, square = found.expected.pulses, found.expected.missed
    off = _missed(total, made, backend, device, held) if square is None else math.sqrt(square * held.numel())
    mean, p99, most = (None, None, None) if pulses is None else per_cell(pulses)
    over = () if budget is None else tuple(budget.excess(_figures(found)))
    left = 0.0 if made.left is None else float(dense(made.left).double().norm())
    error, rest = (value / size if size else None for value in (off, left))
    form = Form(name, None, found.cost, mean, p99, most, found.cost.wear_max, error, rest, over)
    return Assessed(form, found, None if isinstance(cycle, Cell) else pulses)


def _figures(found: Candidate) -> Figures:
    """Of what would be executed."""
    same = found.made is found.schedule
    return figures(found.expected if same else expected(found.made, found.backend, found.device, found.held))


def _missed(total: Tensor, made: Schedule, backend: BackendCard, device: DeviceCard, held: Tensor) -> float:
    """Expected Frobenius norm of what a schedule of pulses misses."""
    options, (cycle,) = backend.array, made.cycles
    assert options is not None and isinstance(cycle, Outer | Row)  # what the other forms for arrays make
    intended, step, writing = dense(made.intended), pulse_step(options, device), options.writing
    counts: Counts = counted(cycle)
    if isinstance(cycle, Outer) and writing.trains == "stochastic":
        counts = drawn(forms.strong(total, options, device)[0], step)
    if isinstance(cycle, Row) and writing.rounding == "stochastic":
        counts = rounded(intended / step)
    return missed(counts, intended.double(), options, device, held)
