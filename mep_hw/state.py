"""What a substrate is asked and what it answers: a nudge, and a settled state with the evidence for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

State = list[Tensor]  # s_1 .. s_L, each (rows, *layer.shape)


@dataclass(frozen=True)
class Nudge:
    """Pull the read-out towards `target` (batch, outputs) with strength `beta` (copies * batch,), real or complex.

    Copies of one batch, one per strength, are settled together: rows [k * batch, (k + 1) * batch) are copy k.
    `sweeps` caps this call below the backend's own cap.
    """

    beta: Tensor
    target: Tensor
    sweeps: int | None = None

    def cap(self, limit: int) -> int:
        """Most sweeps of this call on a backend whose own cap is `limit`."""
        return limit if self.sweeps is None else min(self.sweeps, limit)


def copies(batch: Tensor, rows: int) -> Tensor:
    """So many rows, as copies of a batch (batch, ...) under one another; the batch itself where it has so many."""
    return batch if len(batch) == rows else batch.repeat(rows // len(batch), *[1] * (batch.dim() - 1))


@dataclass(frozen=True)
class Settled:
    """A state and how well it is settled; `rows` is copies * batch.

    state: s_1 .. s_L, each (rows, *shape); with cross entropy s_L is the error current sent back.
    output: (rows, outputs), the read-out: s_L, or the logits with cross entropy.
    sweeps: (rows,) sweeps (or integration steps) until the sample stopped.
    measured: (rows,) the residual; None: it is computed when somebody asks, from
    earlier: the state one sweep earlier, or the one batch of it that all copies share.
    energy: (sweeps, rows) E, or E + beta C in a nudged phase, after each sweep, when it was asked for.
    """

    state: State
    output: Tensor
    sweeps: Tensor
    measured: Tensor | None = field(repr=False)
    energy: Tensor | None = None
    # What the layers below contributed at this state; lets a nudged phase that starts here skip its first products.
    below: State | None = field(default=None, repr=False)
    static: list[Tensor | None] | None = field(default=None, repr=False)
    earlier: State | None = field(default=None, repr=False)
    resume: object = field(default=None, repr=False)  # what the machine that settled it goes on from, if it is alike

    def bare(self, state: State | None = None) -> Settled:
        """The same state, or another one, as a start with nothing else to go on from, as when weights have changed."""
        kept = self.state if state is None else list(state)
        return replace(self, state=kept, energy=None, below=None, static=None, resume=None)

    @cached_property
    def residual(self) -> Tensor:
        """(rows,) largest change of any state entry in the last sweep."""
        if self.measured is not None:
            return self.measured
        assert self.earlier is not None  # one of the two is given
        rows = self.output.shape[0]
        return largest_change(self.state, [torch.cat([old] * (rows // old.shape[0])) for old in self.earlier])


@dataclass(frozen=True)
class LocalStates:
    """What the two ends of a coupling see of every sample (with convolutions: of every sample and position).

    before: (n, in) states that enter the operator in the free phase.
    after: (n, out) each sample's own signal at the other end, which approaches -dC/d drive.
    """

    before: Tensor
    after: Tensor


def largest_change(new: Sequence[Tensor], old: Sequence[Tensor]) -> Tensor:
    """max over layers and entries of |new - old|, per row."""
    changes = [(a - b).abs_() if not a.is_complex() else (a - b).abs() for a, b in zip(new, old, strict=True)]
    worst = changes[0].flatten(1).amax(1)
    for change in changes[1:]:
        worst = torch.maximum(worst, change.flatten(1).amax(1))
    return worst
