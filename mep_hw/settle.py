"""The shared settling loop: block Gauss-Seidel sweeps over layers, for every substrate that offers products.

One layer's exact minimiser with its neighbours held is s_l = rho(b_l + Phi(s below) + Phi^T(s above)), so a sweep
visits the layers in turn and sets each to it; the energy falls with every visit. The free phase sweeps from input to
output, starting from a feed-forward pass. The nudged phase sweeps from output to input: in any other order a few sweeps
leave the early layers exactly where they were. What the input contributes never changes and is computed once.

Each sample stops by itself, when no entry of its state moved by more than the tolerance in one sweep; it then leaves
the batch, so results do not depend on which samples were settled together. This finds a minimum only where sweeps
contract, see mep_hw.model; the residual returned says whether they did.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from mep_hw.anderson import Anderson
from mep_hw.cards.settling import SettleOptions
from mep_hw.model import Model
from mep_hw.state import Nudge, Settled, State, largest_change
from mep_hw.sweep import Coupled, Sweeper


def settle(
    model: Model,
    substrate: Coupled,
    options: SettleOptions,
    inputs: Tensor,
    nudge: Nudge | None = None,
    start: Settled | None = None,
    energy: Callable[[State, Tensor, Nudge | None], Tensor] | None = None,
) -> Settled:
    """Settle one batch of inputs (batch, *input_shape); `energy`, where given, is recorded after every sweep."""
    if nudge is None:
        static = input_drives(model, substrate, inputs)
        sweeper = Sweeper(model, substrate, static, inputs.shape[0], over=options.over_relaxation)
        state = sweeper.feed_forward() if start is None else list(start.state)
        cap = options.free_sweeps
        limit = state[0].new_full((len(inputs),), options.tolerance) if options.tolerance else None
    else:
        start = start or settle(model, substrate, options, inputs)
        static = start.static or input_drives(model, substrate, inputs)
        limit = options.nudged_tolerance * nudge.beta.abs() if options.nudged_tolerance else None
        spread = _Repeater(nudge.beta.shape[0] // inputs.shape[0])
        state, below, target, beta = list(start.state), start.below, spread(nudge.target), nudge.beta[:, None]
        if limit is not None or model.routes_by_argmax:
            # Rows stop one by one, or the old state decides where maxima are: every copy needs its own.
            again = spread if start.output.shape[0] == inputs.shape[0] else _Repeater(1)
            state = [again(value) for value in state]
            if nudge.beta.is_complex():
                state = [value.to(nudge.beta.dtype) for value in state]
            fed = {model.couplings[c].target for c in model.outgoing[0]}
            static = [spread(v) if v is not None and n in fed else v for n, v in enumerate(static, start=1)]
            below = None if below is None else [again(value) for value in below]
        sweeper = Sweeper(model, substrate, static, nudge.beta.shape[0], beta, target, below)
        cap = nudge.cap(options.nudged_sweeps)
    record = None if energy is None else _EnergyTrace(energy, inputs, nudge)
    return _iterate(sweeper, state, limit, cap, options.anderson, record)


def _iterate(
    sweeper: Sweeper, state: State, limit: Tensor | None, cap: int, memory: int, record: _EnergyTrace | None
) -> Settled:
    """`limit`: (rows,) largest change at which a row stops; None runs all `cap` sweeps, and looks at no change."""
    rows = sweeper.rows
    mixer = Anderson(memory) if memory and limit is not None and not state[0].is_complex() else None
    live: Tensor | None = None  # rows still moving; None while that is all of them
    final: Settled | None = None
    for sweep in range(1, cap + 1):
        old = list(state)
        sweeper.sweep(state)
        if record is not None:
            record(state, live)
        if limit is None:
            if sweep == cap:
                final = _snapshot(sweeper, state, torch.full((rows,), cap, device=state[0].device), None, old)
            continue
        residual = largest_change(state, old)
        done = residual <= limit
        if sweep == cap:
            done = torch.ones_like(done)
        elif not bool(done.any()):
            if mixer is not None:
                state = mixer.mix(old, state, residual)
            continue
        count = torch.full_like(residual, sweep, dtype=torch.int64)
        if live is None and bool(done.all()):
            final = _snapshot(sweeper, state, count, residual)
            break
        live = torch.arange(rows, device=done.device) if live is None else live
        if final is None:
            final = _empty_like(sweeper, state, residual, rows)
        _store(final, _snapshot(sweeper, state, count, residual), live[done], done)
        if bool(done.all()):
            break
        kept = (~done).nonzero().squeeze(1)
        live, limit = live[kept], limit[kept]
        if mixer is not None:
            state = mixer.mix(old, state, residual)
            mixer.keep(kept)
        state = [value[kept] for value in state]
        sweeper.keep(kept)
    assert final is not None  # cap >= 1, and the last sweep always stores
    return final if record is None else replace(final, energy=record.result())


def input_drives(model: Model, substrate: Coupled, inputs: Tensor) -> list[Tensor | None]:
    """Per layer: bias plus what the input sends directly, (batch, *shape), or the bias alone, or None."""
    static: list[Tensor | None] = list(substrate.biases)
    for c in model.outgoing[0]:
        layer = model.couplings[c].target - 1
        static[layer] = substrate.couple(c, inputs, static[layer])
    return static


class _Repeater:
    """Copies of a batch under one another; a tensor met twice is repeated once."""

    def __init__(self, copies: int) -> None:
        self.copies = copies
        self.seen: dict[int, Tensor] = {}

    def __call__(self, value: Tensor) -> Tensor:
        if self.copies == 1:
            return value
        if id(value) not in self.seen:
            self.seen[id(value)] = torch.cat([value] * self.copies)
        return self.seen[id(value)]


class _EnergyTrace:
    def __init__(
        self, energy: Callable[[State, Tensor, Nudge | None], Tensor], inputs: Tensor, nudge: Nudge | None
    ) -> None:
        self.energy, self.inputs, self.nudge = energy, inputs, nudge
        self.values: list[Tensor] = []

    def __call__(self, state: State, live: Tensor | None) -> None:
        copies = 1 if self.nudge is None else len(self.nudge.beta) // len(self.inputs)
        x = self.inputs.repeat(copies, *[1] * (self.inputs.dim() - 1))
        nudge = None if self.nudge is None else Nudge(self.nudge.beta, self.nudge.target.repeat(copies, 1))
        if live is None:
            self.values.append(self.energy(state, x, nudge))
            return
        part = None if nudge is None else Nudge(nudge.beta[live], nudge.target[live])
        now = self.values[-1].clone()
        now[live] = self.energy(state, x[live], part)
        self.values.append(now)

    def result(self) -> Tensor:
        return torch.stack(self.values)


def _snapshot(
    sweeper: Sweeper, state: State, sweeps: Tensor, residual: Tensor | None, earlier: State | None = None
) -> Settled:
    below = None if sweeper.nudged else list(sweeper.below)
    static = None if sweeper.nudged else sweeper.static
    return Settled(list(state), sweeper.output, sweeps, residual, None, below, static, earlier)


def _empty_like(sweeper: Sweeper, state: State, residual: Tensor, rows: int) -> Settled:
    def empty(value: Tensor) -> Tensor:
        return value.new_empty(rows, *value.shape[1:])

    below = None if sweeper.nudged else [empty(value) for value in sweeper.below]
    return Settled(
        [empty(value) for value in state], empty(sweeper.output),
        torch.empty(rows, dtype=torch.int64, device=residual.device), empty(residual),
        None, below, None if sweeper.nudged else list(sweeper.static),
    )  # fmt: skip


def _store(whole: Settled, part: Settled, rows: Tensor, done: Tensor) -> None:
    pairs = [*zip(whole.state, part.state, strict=True), (whole.output, part.output)]
    pairs += [(whole.sweeps, part.sweeps), (whole.residual, part.residual)]
    if whole.below is not None and part.below is not None:
        pairs += zip(whole.below, part.below, strict=True)
    for mine, theirs in pairs:
        mine[rows] = theirs[done]
