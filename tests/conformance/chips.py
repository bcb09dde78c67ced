"""Machines with one fault each, for tests that the suite notices it and nothing else."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mep_hw.cards import BackendCard, DeviceCard
from mep_hw.compiler import predict
from mep_hw.model import Model
from mep_hw.outersum import add_into_
from mep_hw.schedule import Cost, Registers, Schedule
from mep_hw.state import Nudge, Settled
from mep_hw.substrates.cpu import Cpu
from mep_hw.substrates.crossbar import Crossbar


class Deaf(Cpu):
    """Drops the feedback from the layer above."""

    def couple_back(self, c: int, target: Tensor, source: Tensor, add: Tensor | None) -> Tensor:
        return torch.zeros_like(source) if add is None else add.expand_as(source).to(target.dtype, copy=True)


class Contrary(Cpu):
    """Nudges away from the target for positive beta."""

    def settle(self, inputs: Tensor, nudge: Nudge | None = None, start: Settled | None = None) -> Settled:
        turned = None if nudge is None else replace(nudge, beta=-nudge.beta)
        return super().settle(inputs, turned, start)


class Halving(Cpu):
    """Realises half of every change."""

    def apply(self, coupling: int, schedule: Schedule) -> Cost:
        halves = tuple(Registers(cycle.change * 0.5) for cycle in schedule.cycles if isinstance(cycle, Registers))
        if len(halves) < len(schedule.cycles):
            return super().apply(coupling, schedule)
        return super().apply(coupling, Schedule(halves, schedule.intended))


class Leaky(Cpu):
    """In batches above a size, every sample gets a little of the mean of the batch."""

    def settle(self, inputs: Tensor, nudge: Nudge | None = None, start: Settled | None = None) -> Settled:
        settled = super().settle(inputs, nudge, start)
        if len(inputs) <= 32:
            return settled
        state = [value + 3e-4 * (value.mean(0) - value) for value in settled.state]
        return replace(settled, state=state, below=None)


class Restless(Cpu):
    """Adds a little noise that no seed controls."""

    def settle(self, inputs: Tensor, nudge: Nudge | None = None, start: Settled | None = None) -> Settled:
        settled = super().settle(inputs, nudge, start)
        generator = torch.Generator()
        generator.seed()
        state = [v + 1e-8 * torch.randn(v.shape, generator=generator).to(v) for v in settled.state]
        return replace(settled, state=state, below=None)


class Cheap(Cpu):
    """Reports a cycle less than it was predicted to take."""

    def apply(self, coupling: int, schedule: Schedule) -> Cost:
        paid = super().apply(coupling, schedule)
        return replace(paid, cycles=(paid.cycles or 0) - 1)


class Boastful(Cpu):
    """Reports an energy of zero where nobody knows it."""

    def apply(self, coupling: int, schedule: Schedule) -> Cost:
        return replace(super().apply(coupling, schedule), energy_j=0.0)


class Stale(Cpu):
    """Settles with the weights it was built with, whatever is written later."""

    def __init__(self, model: Model, backend: BackendCard, device: DeviceCard | None, seed: int) -> None:
        super().__init__(model, backend, device, seed)
        self.first = [w.clone() for w in self.weights]

    def settle(self, inputs: Tensor, nudge: Nudge | None = None, start: Settled | None = None) -> Settled:
        present, self.weights = self.weights, self.first
        settled = super().settle(inputs, nudge, start)
        self.weights = present
        return settled


class Careless(Cpu):
    """Executes what it understands of a schedule and ignores the rest."""

    def apply(self, coupling: int, schedule: Schedule) -> Cost:
        for cycle in schedule.cycles:
            if isinstance(cycle, Registers):
                add_into_(self.weights[coupling], cycle.change)
        return predict(schedule, self.backend, self.device)


class Hasty(Cpu):
    """Refuses what it does not understand, but only when it gets there."""

    def apply(self, coupling: int, schedule: Schedule) -> Cost:
        for cycle in schedule.cycles:
            super().apply(coupling, Schedule((cycle,), schedule.intended))
        return predict(schedule, self.backend, self.device)


class Unbiased(Cpu):
    """Pays for changes of its biases and does not make them."""

    def apply_bias(self, layer: int, schedule: Schedule) -> Cost:
        kept = [None if b is None else b.clone() for b in self.biases]
        paid = super().apply_bias(layer, schedule)
        self.biases = kept
        return paid


class Forgetful(Cpu):
    """Its snapshots leave out the random state."""

    def restore(self, tensors: dict[str, Tensor]) -> None:
        super().restore(tensors | {"generator": self.generator.get_state()})


class Climbing(Cpu):
    """Goes uphill from a start it is given."""

    def settle(self, inputs: Tensor, nudge: Nudge | None = None, start: Settled | None = None) -> Settled:
        if nudge is not None or start is None:
            return super().settle(inputs, nudge, start)
        return replace(start, state=[v * 1.1 for v in start.state], output=start.output * 1.1)


class Modest(Crossbar):
    """Reports a third of the pulses that it takes."""

    def apply(self, coupling: int, schedule: Schedule) -> Cost:
        paid = super().apply(coupling, schedule)
        return replace(paid, pulses=(paid.pulses or 0) // 3)
