"""The plain machine, to be read first: explicit Euler on the equations of motion, all layers at once.

    box units:     tau ds/dt = drive - G'(s), projected on [low, high]      (tau ds/dt = -dF/ds)
    smooth units:  tau du/dt = drive - u,  s = rho(u)                       (Hopfield 1984, PNAS 81, 3088)
    read-out:      tau do/dt = drive - o + beta (y - o)

For smooth units -dF/ds = drive - rho^-1(s) is unbounded at the ends of the range, where no explicit step is stable; the
membrane form has the same equilibria and also descends the energy. The step dt/tau must be below 2 / (largest curvature
of E); the card's value is valid for gain <= 1 and couplings as initialised.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mep_hw.activation import Box
from mep_hw.errors import CapabilityError
from mep_hw.state import Nudge, Settled, State, largest_change
from mep_hw.substrates.digital import Digital


class Reference(Digital):
    """Integrates until no state's rate, tau |ds/dt|, is above the tolerance; frozen samples stay frozen."""

    def settle(self, inputs: Tensor, nudge: Nudge | None = None, start: Settled | None = None) -> Settled:
        options = self.backend.settle
        if options.euler_step is None:
            raise CapabilityError(
                f"backend {self.backend.name}", "settle.euler_step",
                rule="the reference substrate integrates and needs a step dt/tau", fix="set settle.euler_step to 0.5",
            )  # fmt: skip
        copies = 1 if nudge is None else len(nudge.beta) // len(inputs)
        x = inputs.repeat(copies, *[1] * (inputs.dim() - 1))
        if nudge is None:
            cap, limit = options.free_sweeps, torch.full((len(x),), options.tolerance, dtype=x.dtype, device=x.device)
        else:
            cap, limit = nudge.cap(options.nudged_sweeps), options.nudged_tolerance * nudge.beta.abs()
            nudge = Nudge(nudge.beta, nudge.target.repeat(copies, 1))
            x = x.to(nudge.beta.dtype) if nudge.beta.is_complex() else x
        state = self._start(x, start, copies)
        potential = [self._membrane(layer, value) for layer, value in enumerate(state)]
        sweeps = torch.full((len(x),), cap, dtype=torch.int64, device=x.device)
        residual = torch.full((len(x),), torch.inf, dtype=limit.dtype, device=x.device)
        moving = torch.ones(len(x), dtype=torch.bool, device=x.device)
        trace: list[Tensor] = []
        for step in range(1, cap + 1):
            drives = self._drives(state, x)
            target = self._targets(drives, nudge)
            pull = [goal - value for goal, value in zip(target, state, strict=True)]
            residual = torch.where(moving, largest_change(pull, [torch.zeros_like(p) for p in pull]), residual)
            arrived = moving & (residual <= limit)
            sweeps[arrived] = step
            moving = moving & ~arrived
            if not bool(moving.any()):
                break
            self._advance(state, potential, drives, nudge, moving, options.euler_step)
            if self.record_energy:
                trace.append(self.energy(state, x, nudge))
        logits = self._drives(state, x)[-1]
        output = state[-1] if self.model.cost.in_energy else logits
        return Settled(state, output, sweeps, residual, torch.stack(trace) if trace else None)

    def _start(self, x: Tensor, start: Settled | None, copies: int) -> State:
        if start is None:
            return [x.new_zeros(len(x), *layer.shape) for layer in self.model.layers]
        again = copies if len(start.output) * copies == len(x) else 1
        return [value.to(x.dtype).repeat(again, *[1] * (value.dim() - 1)) for value in start.state]

    def _membrane(self, layer: int, value: Tensor) -> Tensor | None:
        activation = self.model.layers[layer].activation
        if activation is None or isinstance(activation, Box):
            return None
        return activation.inverse(value) if bool((value != 0).any()) else torch.zeros_like(value)

    def _drives(self, state: State, x: Tensor) -> State:
        """b + Phi(below) + Phi^T(above) of every layer, from one and the same state."""
        values, drives = [x, *state], list[Tensor]()
        for number in range(1, self.model.depth + 1):
            drive = self.biases[number - 1]
            for c in self.model.incoming[number]:
                drive = self.couple(c, values[self.model.couplings[c].source], drive)
            for c in self.model.outgoing[number]:
                drive = self.couple_back(c, values[self.model.couplings[c].target], values[number], drive)
            assert drive is not None  # every layer has an incoming coupling
            drives.append(drive)
        return drives

    def _targets(self, drives: State, nudge: Nudge | None) -> State:
        """Where each layer would come to rest with its neighbours held."""
        goals = [
            k.activation.rho(d) for k, d in zip(self.model.layers, drives, strict=True) if k.activation is not None
        ]
        return [*goals, self._signal(drives[-1], nudge)]

    def _signal(self, drive: Tensor, nudge: Nudge | None) -> Tensor:
        beta, target = (None, None) if nudge is None else (nudge.beta[:, None], nudge.target)
        return self.model.cost.signal(drive, beta, target)

    def _advance(
        self,
        state: State,
        potential: list[Tensor | None],
        drives: State,
        nudge: Nudge | None,
        moving: Tensor,
        step: float,
    ) -> None:
        for layer, (drive, value, membrane) in enumerate(zip(drives, state, potential, strict=True)):
            activation = self.model.layers[layer].activation
            rows = moving.reshape(-1, *[1] * (value.dim() - 1))
            if membrane is not None and activation is not None:
                membrane = torch.where(rows, membrane + step * (drive - membrane), membrane)
                potential[layer], moved = membrane, activation.rho(membrane)
            elif isinstance(activation, Box):
                moved = (value + step * (drive - activation.inverse(value))).clamp(activation.low, activation.high)
            elif self.model.cost.in_energy:
                rate = drive - value
                if nudge is not None:
                    rate = rate + nudge.beta[:, None] * (nudge.target - value)
                moved = value + step * rate
            else:  # the error current of a cross-entropy read-out has no dynamics of its own
                moved = self._signal(drive, nudge)
            state[layer] = torch.where(rows, moved, value)
