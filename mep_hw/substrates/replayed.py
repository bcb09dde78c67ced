"""Phases of any model without max pooling as captured graphs of library products, see `mep_hw.increments`.

Where a tolerance stops samples, the host asks after every CHUNK sweeps whether any still moves; samples at rest are
left as they are meanwhile. With a fixed number of sweeps a phase is one graph, and nobody asks.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from mep_hw.cards.settling import SettleOptions
from mep_hw.increments import Moving, Pull, fed_forward, resumed, started, swept
from mep_hw.model import Model
from mep_hw.state import Nudge, Settled, State, copies
from mep_hw.substrates.captured import Graphs
from mep_hw.substrates.products import Products

CHUNK = 8


def settle_replayed(
    model: Model,
    products: Products,
    graphs: Graphs,
    options: SettleOptions,
    inputs: Tensor,
    nudge: Nudge | None,
    start: Settled | None,
) -> Settled:
    """Settle a batch; a nudged phase needs a `start`, the free phase or a former nudged one."""
    limit, cap, fixed = limits(options, inputs, nudge)
    chunk = cap if fixed else min(CHUNK, cap)
    moving = None if start is None else _from(model, products, inputs, nudge, start)
    pull: list[Tensor] = []
    if nudge is not None:
        pull = [nudge.beta[:, None], copies(nudge.target, len(limit))]
    done = 0
    while True:
        count = min(chunk, cap - done)
        given = [inputs] if moving is None else moving.tensors()
        begins = moving is None

        def sweeps(
            values: list[Tensor], begins: bool = begins, count: int = count, fresh: bool = done == 0
        ) -> list[Tensor]:
            held = values[: len(values) - 1 - len(pull)]
            first = fed_forward(model, products, held[0]) if begins else Moving.of(held)
            towards = Pull(*values[-2:]) if pull else None
            bound = None if fixed else values[len(held)]
            return swept(model, products, first, bound, count, towards, fresh).tensors()

        key = (begins, count, bool(pull), done == 0)
        moving = Moving.of(graphs.call(key, sweeps, [*given, limit, *pull]))
        done += count
        if done >= cap or (not fixed and not bool(moving.live.any())):
            break
    drives, states = _own(moving.drives), _own(moving.states)
    output = states[-1] if model.loss.in_energy else drives[-1]
    return Settled(states, output, moving.sweeps.clone(), moving.residual.clone(), resume=drives)


def limits(options: SettleOptions, inputs: Tensor, nudge: Nudge | None) -> tuple[Tensor, int, bool]:
    """(rows,) change at which a row stops, below 0 where it never does; most sweeps; whether all of them are done."""
    if nudge is None:
        limit = _same(options.tolerance or -1.0, len(inputs), inputs.dtype, inputs.device)
        return limit, options.free_sweeps, not options.tolerance
    cap = nudge.cap(options.nudged_sweeps)
    if options.nudged_tolerance:
        return options.nudged_tolerance * nudge.beta.abs(), cap, False
    return _same(-1.0, len(nudge.beta), inputs.dtype, inputs.device), cap, True


@lru_cache(maxsize=16)
def _same(value: float, rows: int, dtype: torch.dtype, place: torch.device) -> Tensor:
    """A limit that all rows share, (rows,); shared by all phases that ask for the same, to be read."""
    return torch.full((rows,), value, dtype=dtype, device=place)


def drives_at(model: Model, products: Products, inputs: Tensor, nudged: bool, start: Settled) -> tuple[State, State]:
    """The drives of a start, computed anew, and its states; both (rows of the start, *shape) per layer."""
    rows = len(start.output)
    found = started(model, products, copies(inputs, rows), start.state, nudged)
    return found.drives, found.states


def _from(model: Model, products: Products, inputs: Tensor, nudge: Nudge | None, start: Settled) -> Moving:
    drives, states = start.resume, start.state
    if not isinstance(drives, list):
        drives, states = drives_at(model, products, inputs, nudge is not None, start)
    rows = len(inputs) if nudge is None else len(nudge.beta)
    return resumed([copies(value, rows) for value in drives], [copies(value, rows) for value in states])


def _own(values: State) -> State:
    """Copies, as a graph's next replay overwrites its results."""
    return [value.clone() for value in values]
