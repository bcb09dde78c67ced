"""What is still owed to the weights of one coupling: the residual, intended minus realised change, carried along.

Schedules leave fractions of a pulse and weak directions, which nobody needs a look for. What cells made of their pulses
is known only by a look:

    verified writes     The write itself looks, at every update. What its tolerance leaves is owed.
    read-back           A look every `writing.read_every` updates, at all weights or at the directions just written.
                        `target` adds up what was intended since the last one; target minus what is found is owed.
    neither             Nobody looks, so nothing is owed for it, and learning itself has to make up for it.
    transfer            The same; every `transfer.every` updates, lines of the fast array move on to the slow one.

A rule with a memory of its own is not told: Dion keeps what it did not ask for, and this here what was asked for and
not done, so nothing is counted twice (see docs/schedules.md).
"""

from __future__ import annotations

import torch
from torch import Tensor

from mep_hw.array.scale import weight_range
from mep_hw.cards.schema import BackendCard
from mep_hw.compiler import compile
from mep_hw.compiler.compile import add
from mep_hw.outersum import OuterSum, Update, dense
from mep_hw.schedule import Cost, Read, Schedule
from mep_hw.substrates.base import Substrate


class Owed:
    """The books of one coupling.

    residual: goes into the next schedule; None: nothing.
    target: (out, in), what the weights should be by the last look and all since; None where nobody looks.
    """

    def __init__(self, substrate: Substrate, coupling: int) -> None:
        self.substrate, self.coupling = substrate, coupling
        card: BackendCard = substrate.card_of(coupling)
        self.device = substrate.device
        self.residual: Update | None = None
        self.updates = 0
        writing = None if card.array is None else card.array.writing
        self.read_every = 0 if writing is None else writing.read_every
        self.refresh_every = 0 if writing is None else writing.refresh_every
        self.transfer = None if card.array is None else card.array.transfer
        self.target: Tensor | None = None
        if self.read_every:
            self.target = substrate.tensor(substrate.model.weights[coupling]).flatten(1)

    def compile(self, update: Update, local: bool) -> Schedule:
        """The schedule for `update` and what is owed; nothing is executed or changed."""
        number = self.updates + 1
        return compile(
            update, self.residual, self.substrate.card_of(self.coupling), self.device, self.substrate.generator, local,
            read=_due(number, self.read_every), refresh=_due(number, self.refresh_every),
            transfer=self.transfer.lines if self.transfer and _due(number, self.transfer.every) else 0,
        )  # fmt: skip

    def execute(self, schedule: Schedule) -> Cost:
        """Apply the schedule and bring the books up to date."""
        substrate, c = self.substrate, self.coupling
        before = substrate.read(c) if schedule.verifies else None
        cost = substrate.apply(c, schedule)
        self.updates += 1
        left = schedule.left
        if before is not None:
            missing = dense(schedule.intended).view_as(before) - (substrate.read(c) - before)
            # What a cell at its bound cannot take is given up, or it would be owed more and more.
            left = missing.clamp_(-schedule.carried, schedule.carried)
        if self.target is not None:
            self.target += dense(schedule.intended).view_as(self.target)
            look = next((cycle for cycle in schedule.cycles if isinstance(cycle, Read)), None)
            if look is not None:  # it sees what verifying has missed, too
                left = self._compared(self.target, look, substrate.found(c), schedule.left)
            elif before is not None and left is not None:  # it comes again in what the next schedule intends
                self.target -= dense(left).view_as(self.target)
        self.residual = None if left is None else _in_rows(left)
        return cost

    def _compared(self, target: Tensor, cycle: Read, found: Tensor, left: Update | None) -> Update:
        """What is owed after a look; the target is from now on what was found."""
        low, high = weight_range(self.substrate.card_of(self.coupling), self.device)
        if low is not None or high is not None:
            target.clamp_(low, high)  # what no cell can hold is given up
        if cycle.basis is None:
            missing: Update = target - found
            target.copy_(found)
        else:
            basis = cycle.basis.to(target)
            error = basis.T @ target - found
            missing = OuterSum(basis, error.T)
            target.addmm_(basis, error, alpha=-1)
        if left is None:
            return missing
        return add(missing, dense(left).flatten(1)).view(dense(left).shape)

    def tensors(self) -> dict[str, Tensor]:
        """Everything that a resumed run needs to go on bit for bit."""
        held = {"updates": torch.tensor(self.updates)}
        if self.target is not None:
            held["target"] = self.target.clone()
        if isinstance(self.residual, OuterSum):
            scale = torch.tensor(self.residual.scale, dtype=torch.float64)
            return held | {"left": self.residual.left, "right": self.residual.right, "scale": scale}
        return held if self.residual is None else held | {"residual": self.residual}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Go back to `tensors` of the same coupling on the same machine."""
        place = self.substrate.torch_device
        moved = {name: value.to(place) for name, value in tensors.items()}
        self.updates, self.target = int(moved["updates"]), moved.get("target")
        self.residual = moved.get("residual")
        if "left" in moved:
            self.residual = OuterSum(moved["left"], moved["right"], float(moved["scale"]))


def _in_rows(update: Update) -> Update:
    """As a checkpoint stores it: in another layout the same product can round differently."""
    if isinstance(update, OuterSum):
        return OuterSum(update.left.contiguous(), update.right.contiguous(), update.scale)
    return update.contiguous()


def _due(number: int, every: int) -> bool:
    return every > 0 and number % every == 0
