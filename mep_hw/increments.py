"""Gauss-Seidel sweeps in differences: a visit adds to a layer's drive what its neighbours' last changes contribute.

    D_l += sum over neighbours k of Phi(dS_k),   S_l = rho(D_l),   dS_l = S_l - S_l before

It visits the layers in the order of `mep_hw.settle` and reaches the same states. It pays where products round their
operands (tf32, bf16): rounding is then relative to a change, which shrinks, and not to the state; what the first,
full-sized change loses is a fixed error of the drives, as of slightly other biases. Samples that moved no more than
their limit stay as they are, so results do not depend on which samples settle together. Nothing here asks the host, so
that a GPU can replay it.

A nudged phase starts from the drives that the free state was made of, and so takes that state for settled: what the
last free sweep left undone is not passed on, and the one-sided estimator is spared its error of residual / beta.

Not valid for max pooling, whose product with a change is not the change of a product.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mep_hw.model import Model
from mep_hw.settle import input_drives
from mep_hw.state import State
from mep_hw.sweep import Coupled


@dataclass
class Moving:
    """A phase under way; lists are per layer, (rows, *shape).

    live: (rows,) whether a row still moves. sweeps: (rows,) how many it has done. residual: (rows,) its last change.
    """

    drives: State
    states: State
    changes: State
    live: Tensor
    sweeps: Tensor
    residual: Tensor

    def tensors(self) -> list[Tensor]:
        """All of it, for machines that keep it in fixed places."""
        return [*self.drives, *self.states, *self.changes, self.live, self.sweeps, self.residual]

    @classmethod
    def of(cls, tensors: list[Tensor]) -> Moving:
        """What `tensors` has taken apart."""
        depth = (len(tensors) - 3) // 3
        return cls(
            tensors[:depth], tensors[depth : 2 * depth], tensors[2 * depth : 3 * depth], tensors[-3], tensors[-2],
            tensors[-1],
        )  # fmt: skip


@dataclass(frozen=True)
class Pull:
    """What a nudged phase adds: strengths (rows, 1) and targets (rows, outputs)."""

    beta: Tensor
    target: Tensor


def fed_forward(model: Model, machine: Coupled, inputs: Tensor) -> Moving:
    """The start of a free phase: every layer from those below it."""
    drives: State = []
    states: State = []
    for layer, fixed in enumerate(_fixed(model, machine, inputs), start=1):
        drive = _from_below(model, machine, layer, states, fixed)
        drives.append(drive)
        states.append(_value(model, layer, drive, None))
    return _moving(drives, states, [value.clone() for value in states])


def started(model: Model, machine: Coupled, inputs: Tensor, states: State, nudged: bool) -> Moving:
    """A phase that starts from `states`, whose drives are computed anew."""
    sending = _sending(model, nudged)
    drives: State = []
    for layer, fixed in enumerate(_fixed(model, machine, inputs), start=1):
        drive = _from_below(model, machine, layer, states, fixed)
        drives.append(_from_above(model, machine, layer, sending, states, drive))
    return resumed(drives, states)


def resumed(drives: State, states: State) -> Moving:
    """A phase that starts from states and their drives."""
    return _moving(drives, states, [torch.zeros_like(value) for value in states])


def swept(
    model: Model,
    machine: Coupled,
    moving: Moving,
    limit: Tensor | None,
    number: int,
    pull: Pull | None,
    fresh: bool = False,
) -> Moving:
    """`number` sweeps more.

    Args:
        limit: (rows,) a row stops when none of its entries moved by more; None: none stops, and only the last sweep
            looks how far they moved.
        fresh: nothing has moved since the phase began, so a first nudged sweep hears nothing from below.
    """
    for n in range(number):
        moving = _sweep(model, machine, moving, pull, fresh and n == 0)
        if limit is not None:
            moving = _stopped(moving, limit)
    return moving if limit is not None else _looked_at(moving, number)


def _sweep(model: Model, machine: Coupled, moving: Moving, pull: Pull | None, fresh: bool) -> Moving:
    """All layers once; who stops and what is counted is for the caller."""
    drives, states, changes = list(moving.drives), list(moving.states), list(moving.changes)
    order = range(1, model.depth + 1) if pull is None else range(model.depth, 0, -1)
    sending = _sending(model, pull is not None)
    for layer in order:
        drive = drives[layer - 1]
        if not (fresh and pull is not None):
            drive = _from_below(model, machine, layer, changes, drive)
        drive = _from_above(model, machine, layer, sending, changes, drive)
        value = _value(model, layer, drive, pull)
        changes[layer - 1] = value - states[layer - 1]
        drives[layer - 1], states[layer - 1] = drive, value
    return replace(moving, drives=drives, states=states, changes=changes)


def _stopped(moving: Moving, limit: Tensor) -> Moving:
    """After a sweep: rows that moved no more than their limit come to rest, with no changes left to be heard of."""
    largest = _largest(moving.changes)
    live = moving.live & ~(largest <= limit)
    changes = [change * live.view(-1, *[1] * (change.dim() - 1)) for change in moving.changes]
    residual = torch.where(moving.live, largest, moving.residual)
    return replace(moving, changes=changes, live=live, sweeps=moving.sweeps + moving.live, residual=residual)


def _looked_at(moving: Moving, number: int) -> Moving:
    """After `number` sweeps of all rows."""
    return replace(moving, sweeps=moving.sweeps + number, residual=_largest(moving.changes))


def _largest(changes: State) -> Tensor:
    """(rows,) the largest size of an entry, of all layers."""
    each = [change.abs().amax(tuple(range(1, change.dim()))) for change in changes]
    return torch.stack(each).amax(0)


def _value(model: Model, layer: int, drive: Tensor, pull: Pull | None) -> Tensor:
    activation = model.layers[layer - 1].activation
    if activation is not None:
        return activation.rho(drive)
    value = model.loss.signal(drive, *((None, None) if pull is None else (pull.beta, pull.target)))
    return value.clone() if value is drive else value


def _fixed(model: Model, machine: Coupled, inputs: Tensor) -> State:
    """Per layer (rows, *shape): bias and what the input sends, which no sweep changes."""
    values: State = []
    for layer, value in zip(model.layers, input_drives(model, machine, inputs), strict=True):
        start = inputs.new_zeros(()) if value is None else value
        values.append(start.expand(len(inputs), *layer.shape).clone() if start.dim() <= len(layer.shape) else start)
    return values


def _sending(model: Model, nudged: bool) -> int:
    """The last layer that sends something back: without a place in the energy, the read-out only does when nudged."""
    return model.depth if nudged or model.loss.in_energy else model.depth - 1


def _from_below(model: Model, machine: Coupled, layer: int, values: State, drive: Tensor) -> Tensor:
    """drive + what `values` of the layers below send."""
    for c in model.incoming[layer]:
        source = model.couplings[c].source
        if source > 0:
            drive = machine.couple(c, values[source - 1], drive)
    return drive


def _from_above(model: Model, machine: Coupled, layer: int, sending: int, values: State, drive: Tensor) -> Tensor:
    """drive + what `values` of the layers above send back, up to layer `sending`."""
    for c in model.outgoing[layer]:
        above = model.couplings[c].target
        if above <= sending:
            drive = machine.couple_back(c, values[above - 1], values[layer - 1], drive)  # the last gives the shape
    return drive


def _moving(drives: State, states: State, changes: State) -> Moving:
    rows, place = len(states[0]), states[0].device
    return Moving(
        drives, states, changes, torch.ones(rows, dtype=torch.bool, device=place),
        torch.zeros(rows, dtype=torch.int64, device=place), states[0].new_zeros(rows),
    )  # fmt: skip
