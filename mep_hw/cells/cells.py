"""An array of memory cells: what each one holds, how pulses and time change it, and how many pulses it has had.

A cell stores a weight within its own bounds. What can be read is the stored weight plus the write noise of the last
write (the persistent and the visible weight of Gong et al., IEDM 2022), so readable weights may lie outside the bounds
by that noise. `pulse` applies any number of pulses per cell at once: in closed form where the response has one and no
bound is near, in leaps or one by one elsewhere (`mep_hw.cells.many`). `pulse_one_by_one` is the slow reference for it.

Not valid for: pulses of another amplitude than the card's (`disturb` stands for half-selected ones by a share of the
mean step), and up and down pulses that alternate within one call of `pulse`: all up pulses of a call come first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from mep_hw.cards.physics import Unknown
from mep_hw.cards.schema import DeviceCard
from mep_hw.cells.check import flat_counts, flatten
from mep_hw.cells.clock import Clock
from mep_hw.cells.disturbed import disturbed
from mep_hw.cells.laws import programming_deviation
from mep_hw.cells.many import pulsed
from mep_hw.cells.pulses import normal_like, one_by_one
from mep_hw.cells.respond import respond
from mep_hw.cells.traits import draw, write_noise
from mep_hw.errors import CapabilityError, CheckpointError


class Cells:
    """Cells of one device in any shape; weights in units of the model's weight.

    Args:
        card: the device.
        shape: of the array; all tensors in and out have it.
        generator: of every random number, at construction and later; its place is where the cells live.
        dtype: number format of the weights, torch.float32 or torch.float64.
    """

    def __init__(
        self, card: DeviceCard, shape: Sequence[int], generator: torch.Generator, dtype: torch.dtype = torch.float32
    ) -> None:
        self.card, self.shape, self.generator = card, tuple(shape), generator
        self._cells = torch.Size(self.shape).numel()
        self.traits = draw(card, self._cells, generator, dtype)
        self.response = respond(card, self.traits)
        zero = torch.zeros(self._cells, dtype=dtype, device=generator.device)
        self._stored = zero.clamp(self.traits.low, self.traits.high)
        self._offset = zero.clone()  # write noise
        self._up, self._down = torch.zeros(2, self._cells, dtype=torch.int64, device=generator.device)
        self.write_noise = write_noise(card)
        self.clock = Clock(card, self._stored, generator)
        self._beyond = False  # whether programming or drift may have left cells beyond the bounds of pulses
        self._wrote(torch.ones_like(self.traits.stuck), self._stored)

    @property
    def weights(self) -> Tensor:
        """What can be read, without read noise."""
        return (self._stored + self._offset).view(self.shape)

    @property
    def stored(self) -> Tensor:
        """What the cells hold, without write noise; beyond `bounds` only by `program` or drift, until a pulse comes."""
        return self._stored.view(self.shape).clone()

    @property
    def bounds(self) -> tuple[Tensor, Tensor]:
        """Lowest and highest stored weight of each cell."""
        return self.traits.low.view(self.shape), self.traits.high.view(self.shape)

    @property
    def stuck(self) -> Tensor:
        """Cells that nothing moves."""
        return self.traits.stuck.view(self.shape)

    @property
    def up_count(self) -> Tensor:
        """Up pulses that each cell has had, int64."""
        return self._up.view(self.shape).clone()

    @property
    def down_count(self) -> Tensor:
        """Down pulses that each cell has had, int64."""
        return self._down.view(self.shape).clone()

    @property
    def pulses(self) -> Tensor:
        """Pulses that each cell has had in both directions, int64."""
        return (self._up + self._down).view(self.shape)

    def set(self, weights: Tensor) -> None:
        """Put the cells at `weights`, held within their bounds, without programming error and without pulses."""
        target = flatten(weights, "weights", self.shape).to(self._stored)
        self._stored = torch.where(self.traits.stuck, self._stored, target.clamp(self.traits.low, self.traits.high))
        self._wrote(~self.traits.stuck, self._stored)

    def program(self, targets: Tensor, where: Tensor | None = None) -> None:
        """Set the cells to `targets` by program and verify, with the error that the card's law leaves.

        Args:
            where: bool, the cells to program; None: all.

        The result is held above the nominal w_min, where there is no conductance, but not at the upper bound, as the
        published laws are not. Its pulses are not counted: no source says how many there are.

        Raises:
            CapabilityError: the card has no law for it.
        """
        law = self.card.programming
        if isinstance(law, Unknown):
            raise CapabilityError(
                f"device {self.card.name}", "programming", "unknown",
                rule="no source for the error of program and verify", fix="set the cells exactly, or write by pulses",
            )  # fmt: skip
        aim = target = flatten(targets, "targets", self.shape).to(self._stored)
        low, high = self.card.w_min.value, self.card.w_max.value
        if low is not None and high is not None:
            aim = target = target.clamp(low, high)
            deviation = programming_deviation(law, (target - low) / (high - low))
            if deviation is not None:
                target = (target + (high - low) * deviation * normal_like(target, self.generator)).clamp(min=low)
        free = ~self.traits.stuck if where is None else where.flatten() & ~self.traits.stuck
        self._stored = torch.where(free, target, self._stored)
        self._beyond = True
        self._wrote(free, aim)

    def weaken(self, share: Tensor) -> None:
        """Make every step `share` (in the cells' shape) of what it is by itself, until the next call or `restore`."""
        share = flatten(share, "share", self.shape).to(self._stored)
        self.response = respond(
            self.card, replace(self.traits, up=self.traits.up * share, down=self.traits.down * share)
        )

    def pulse(self, up: Tensor, down: Tensor) -> None:
        """Apply `up` up pulses, then `down` down pulses to each cell; integer tensors in the cells' shape.

        Raises:
            ScheduleError: counts of the wrong shape or kind, or negative.
            CapabilityError: the cells of this card take no pulses.
        """
        up, down = flat_counts(up, "up", self.shape), flat_counts(down, "down", self.shape)
        new = pulsed(self.response, self.traits, self._stored, up, down, self.generator)
        if self._beyond:
            new = torch.where(up + down > 0, new, self._stored)
        self._stored = new
        self._pulses_done(up, down)

    def pulse_one_by_one(self, up: Tensor, down: Tensor) -> None:
        """The same, one pulse after the other: slow, and exact in law. Arguments and errors as for `pulse`."""
        up, down = flat_counts(up, "up", self.shape), flat_counts(down, "down", self.shape)
        for counts, is_up in ((up, True), (down, False)):
            self._stored = one_by_one(self.response, self.traits, self._stored, counts, is_up, self.generator)
        self._pulses_done(up, down)

    def disturb(self, up: Tensor, down: Tensor) -> None:
        """Move each cell by the mean of `up` up and `down` down pulses, evenly mixed; numbers that need not be whole.

        No noise is drawn, and neither pulses nor wear are counted; see `mep_hw.cells.disturbed`.

        Raises:
            ScheduleError: another shape.
            CapabilityError: the cells of this card take no pulses.
        """
        up, down = (flatten(side, name, self.shape).to(self._stored) for side, name in ((up, "up"), (down, "down")))
        self._stored = disturbed(self.response, self.traits, self._stored, up, down)

    def read(self) -> Tensor:
        """One read of every cell, with read noise."""
        return self.clock.read(self._stored + self._offset).view(self.shape)

    def wait(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            ScheduleError: `seconds` is negative or not finite.
            CapabilityError: the card does not know what time does, or counts it in updates.
        """
        moved = self.clock.wait(self._stored, seconds)
        self._stored = torch.where(self.traits.stuck, self._stored, moved)
        self._beyond = True

    def tick(self, updates: int = 1) -> None:
        """Let the time of `updates` weight updates pass; only cells whose card counts a leak in updates notice."""
        if self.clock.leaks:
            moved = self.clock.tick(self._stored, updates).clamp(self.traits.low, self.traits.high)
            self._stored = torch.where(self.traits.stuck, self._stored, moved)

    def snapshot(self) -> dict[str, Tensor]:
        """Everything that a resumed run needs to go on bit for bit, the generator's state included."""
        tensors = {name: value.clone() for name, value in self._state().items()}
        return tensors | {"generator": self.generator.get_state()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Go back to a `snapshot` of cells of the same card and shape.

        Raises:
            CheckpointError: it is of other cells; nothing was changed.
        """
        state = self._state()
        kinds = {name: (value.shape, value.dtype) for name, value in tensors.items() if name != "generator"}
        if kinds != {name: (value.shape, value.dtype) for name, value in state.items()} or "generator" not in tensors:
            rule = f"is not a snapshot of {self._cells} cells of device {self.card.name}"
            raise CheckpointError("cells", rule=rule, fix="restore into cells made with the same card, shape and dtype")
        for name, value in state.items():
            value.copy_(tensors[name])
        self.response = respond(self.card, self.traits)
        self._beyond = bool(((self._stored < self.traits.low) | (self._stored > self.traits.high)).any())
        self.generator.set_state(tensors["generator"])

    def _pulses_done(self, up: Tensor, down: Tensor) -> None:
        self._up += up
        self._down += down
        if self.write_noise or self.clock.notices:
            self._wrote(up + down > 0, self._stored)

    def _wrote(self, touched: Tensor, aimed: Tensor) -> None:
        """Fresh write noise and a fresh clock for the cells that were written."""
        if self.write_noise:
            noise = normal_like(self._offset, self.generator).mul_(self.write_noise)
            # Arithmetic, as choosing by a mask without pattern is slow: offset + (noise - offset) where touched.
            self._offset += noise.sub_(self._offset).mul_(touched & ~self.traits.stuck)
        self.clock.wrote(touched, self._stored, aimed)

    def _state(self) -> dict[str, Tensor]:
        t = self.traits
        own = {"low": t.low, "high": t.high, "step_up": t.up, "step_down": t.down, "stuck": t.stuck}
        now = {"stored": self._stored, "offset": self._offset, "up": self._up, "down": self._down}
        return own | {f"extra.{name}": value for name, value in t.extra.items()} | now | self.clock.tensors()
