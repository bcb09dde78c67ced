"""A machine written from nothing but the contract: damped Jacobi steps, all layers at once, in float64.

Copied beside a card by the test that uses it, as a user would lay out a chip of his own.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mep_hw import Substrate
from mep_hw.compiler import predict
from mep_hw.errors import CapabilityError
from mep_hw.outersum import dense
from mep_hw.schedule import Cost, Registers
from mep_hw.state import Settled

DAMPING = 0.5


class Damped(Substrate):
    def __init__(self, model, backend, device, seed):
        super().__init__(model, backend, device, seed)
        self.held = [self.tensor(w) for w in model.weights]

    def settle(self, inputs, nudge=None, start=None):
        options = self.backend.settle
        copies = 1 if nudge is None else len(nudge.beta) // len(inputs)
        x = inputs.repeat(copies, *[1] * (inputs.dim() - 1))
        if nudge is None:
            beta, target, cap, limit = None, None, options.free_sweeps, options.tolerance
        else:
            beta, target = nudge.beta[:, None], nudge.target.repeat(copies, 1)
            cap, limit = nudge.sweeps or options.nudged_sweeps, options.nudged_tolerance * float(nudge.beta.abs().max())
        state = [x.new_zeros(len(x), *layer.shape) for layer in self.model.layers]
        if start is not None:
            again = len(x) // len(start.output)
            state = [v.repeat(again, *[1] * (v.dim() - 1)) for v in start.state]
        moving = torch.ones(len(x), dtype=torch.bool)
        sweeps, change, output = torch.full((len(x),), cap), torch.zeros(len(x), dtype=self.dtype), state[-1].clone()
        for sweep in range(1, cap + 1):
            drives = self.drives(state, x)
            goals = [
                self.model.loss.signal(d, beta, target) if k.activation is None else k.activation.rho(d)
                for k, d in zip(self.model.layers, drives, strict=True)
            ]
            steps = [DAMPING * (goal - value) for goal, value in zip(goals, state, strict=True)]
            rows = [moving.reshape(-1, *[1] * (v.dim() - 1)) for v in state]
            state = [torch.where(r, v + s, v) for r, v, s in zip(rows, state, steps, strict=True)]
            largest = torch.stack([s.flatten(1).abs().amax(1) for s in steps]).amax(0)
            change = torch.where(moving, largest, change)
            output = torch.where(moving[:, None], state[-1] if self.model.loss.in_energy else drives[-1], output)
            sweeps[moving & (largest <= limit)] = sweep
            moving = moving & (largest > limit)
            if not moving.any():
                break
        return Settled(state, output, sweeps, change)

    def drives(self, state: list[Tensor], x: Tensor) -> list[Tensor]:
        values, drives = [x, *state], [b if b is not None else x.new_zeros(()) for b in self.biases]
        for c, coupling in enumerate(self.model.couplings):
            below, above, weight = values[coupling.source], values[coupling.target], self.held[c]
            drives[coupling.target - 1] = drives[coupling.target - 1] + coupling.forward(below, weight)
            if coupling.source > 0:
                drives[coupling.source - 1] = drives[coupling.source - 1] + coupling.backward(above, weight, below)
        return drives

    def apply(self, coupling, schedule):
        if not all(isinstance(cycle, Registers) for cycle in schedule.cycles):
            raise CapabilityError("damped", "cycle", rule="only register writes", fix="compile for this card")
        for cycle in schedule.cycles:
            self.held[coupling] = self.held[coupling] + dense(cycle.change)
        return predict(schedule, self.backend, self.device)

    def read(self, coupling):
        return self.held[coupling].clone()

    def write(self, coupling, weights):
        self.held[coupling] = self.tensor(weights)
        return Cost(cycles=1)
