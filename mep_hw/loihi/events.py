"""Units that send only what has changed: the difference to what they last sent, as one graded event.

A unit sends when its payload is `threshold` or more away from what receivers have of it, and then the whole difference
(sigma-delta, as Lava's `sdn` processes; O'Connor, Gavves and Welling, AISTATS 2019, settle equilibrium networks by
messages of this kind). Receivers add weights times differences to a drive that they keep, so what they have is always
some earlier payload of the unit, less than `threshold` away from the present one. With a threshold of 1 every change is
sent, and as products and sums of whole numbers are exact, the result is that of `emulator` bit for bit. What the input
sends never changes within a sample, and is sent once.

Not valid for arithmetic that rounds its products, where differences add errors up; and no event is ever lost here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mep_hw.state import State, copies

Couple = Callable[[list[Tensor], list[Tensor]], list[Tensor]]


class Lines:
    """What runs between populations in one phase.

    Args:
        threshold: least change of a payload that is sent, 1 or more.
        rows: settled in this phase.
        before: the lines of an earlier phase of the same samples, of which these rows are copies; receivers still have
            what they heard there. None: they have nothing, as at rest.
    """

    def __init__(self, threshold: int, rows: int, before: Lines | None = None) -> None:
        assert threshold >= 1
        self.threshold, self.rows = threshold, rows
        self.heard: State | None = None  # per population (rows, *shape), what receivers have of every unit
        if before is not None and before.heard is not None:
            self.heard = [copies(known, rows) for known in before.heard]
        self.sent: list[list[Tensor]] = []  # per step and population (*shape), events of all rows

    def over(self, couple: Couple) -> Couple:
        """`couple` of `mep_hw.loihi.emulator.run`, which must be linear in what is sent, fed by events alone."""
        drives: list[Tensor] | None = None

        def drive(payloads: list[Tensor], fixed: list[Tensor]) -> list[Tensor]:
            nonlocal drives
            heard = self.heard or [torch.zeros_like(value) for value in payloads]
            if drives is None:
                drives = couple(heard, fixed)
            changes = [value - known for value, known in zip(payloads, heard, strict=True)]
            events = [change.abs() >= self.threshold for change in changes]
            changes = [change.mul_(event) for change, event in zip(changes, events, strict=True)]
            self.heard = [known + change for known, change in zip(heard, changes, strict=True)]
            self.sent.append([event.sum(0) for event in events])
            drives = couple(changes, drives)
            return [value.clone() for value in drives]  # the emulator uses up what it is given

        return drive


@dataclass
class Tally:
    """Events of one kind of phase, added up over all samples that it settled.

    rows: samples, each copy of a nudged batch by itself.
    units: per population, the input first, (*shape) events of every unit.
    steps: per step, events of every population without the input.
    """

    rows: int = 0
    units: list[Tensor] = field(default_factory=list[Tensor])
    steps: list[list[int]] = field(default_factory=list[list[int]])

    def add(self, lines: Lines, inputs: Tensor) -> None:
        """One phase, and (*shape) events of its input."""
        per_unit = [inputs, *(torch.stack(steps).sum(0) for steps in zip(*lines.sent, strict=True))]
        self.rows += lines.rows
        self.units = [a + b for a, b in zip(self.units, per_unit, strict=True)] if self.units else per_unit
        self.steps += [[0] * (len(per_unit) - 1) for _ in range(len(lines.sent) - len(self.steps))]
        for known, step in zip(self.steps, lines.sent, strict=False):
            known[:] = [count + int(events.sum()) for count, events in zip(known, step, strict=True)]

    @property
    def per_sample(self) -> float:
        """Events of all populations, the input among them, in one phase of one sample."""
        return sum(float(events.sum()) for events in self.units) / self.rows


class Senders:
    """The threshold of a machine, and all events since it was made."""

    def __init__(self, threshold: int) -> None:
        self.threshold, self.free, self.nudged = threshold, Tally(), Tally()

    def lines(self, rows: int, before: Lines | None) -> Lines:
        return Lines(self.threshold, rows, before)

    def count(self, lines: Lines, payloads: Tensor, nudged: bool) -> None:
        """A phase that has run; the input sent its payloads (batch, *shape) in the free one, where they are not 0."""
        events = (payloads != 0).sum(0)
        (self.nudged if nudged else self.free).add(lines, torch.zeros_like(events) if nudged else events)

    def remarks(self) -> dict[str, float | str]:
        """events_free, events_nudged: in one phase of one sample, in the mean over all so far."""
        tallies = {"events_free": self.free, "events_nudged": self.nudged}
        return {name: tally.per_sample for name, tally in tallies.items() if tally.rows}
