"""The equations of motion, integrated by explicit Euler steps of all layers at once, on any machine with products.

    box units:     tau ds/dt = drive - G'(s), projected on [low, high]      (tau ds/dt = -dF/ds)
    smooth units:  tau du/dt = drive - u,  s = rho(u)                       (Hopfield 1984, PNAS 81, 3088)
    read-out:      tau do/dt = drive - o + beta (y - o)

For smooth units -dF/ds = drive - rho^-1(s) is unbounded at the ends of the range, where no explicit step is stable; the
membrane form has the same equilibria and also descends the energy. The step dt/tau must be below 2 / (largest curvature
of E); a card's value is valid for gain <= 1 and couplings as initialised. What the inputs contribute never changes: it
is read once and held through all phases of a batch.

A machine whose reads are noisy never comes to rest. A sample then stops when its rate, smoothed over about
1 / SMOOTHING steps, is within the tolerance or within what noise makes of it. That floor is estimated and not guessed:
the noise of a rate is 1 / sqrt(2) of the difference between two successive ones, which in a transient overstates it by
less than the rate itself. When all have stopped, the state is averaged over so many further steps as the card says.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from mep_hw.activation import Box
from mep_hw.cards.schema import BackendCard
from mep_hw.errors import CapabilityError
from mep_hw.model import Model
from mep_hw.settle import input_drives
from mep_hw.state import Nudge, Settled, State, largest_change
from mep_hw.sweep import Coupled

SMOOTHING = 0.2  # weight of the newest step in the running means of a noisy machine
SHARE = (SMOOTHING / (2 - SMOOTHING)) ** 0.5  # of the noise that is left in such a mean of independent numbers
DIE_AWAY = 3  # time constants after which 5 % of a disturbance are left
REACH = 2.0  # standard deviations that the largest of some tens of entries is likely to be off


def integrate(
    model: Model,
    machine: Coupled,
    card: BackendCard,
    inputs: Tensor,
    nudge: Nudge | None = None,
    start: Settled | None = None,
    *,
    noisy: bool = False,
    energy: Callable[[State, Tensor, Nudge | None], Tensor] | None = None,
) -> Settled:
    """Integrate until no state's rate, tau |ds/dt|, is above the tolerance; samples that stopped stay as they are.

    Args:
        noisy: products differ from read to read.
        energy: recorded after every step, where given.

    Raises:
        CapabilityError: the card has no euler_step.
    """
    options = card.settle
    if options.euler_step is None:
        raise CapabilityError(
            f"backend {card.name}", "settle.euler_step",
            rule="this machine integrates and needs a step dt/tau", fix="set settle.euler_step to 0.5",
        )  # fmt: skip
    flow = _Flow(model, machine, inputs, nudge, start)
    rows, place, step_size = flow.rows, inputs.device, options.euler_step
    wanted = options.tolerance if nudge is None else options.nudged_tolerance * nudge.beta.abs()
    tolerance = limit = torch.as_tensor(wanted, dtype=inputs.dtype, device=place).expand(rows)
    cap = options.free_sweeps if nudge is None else nudge.cap(options.nudged_sweeps)
    sweeps = torch.full((rows,), cap, dtype=torch.int64, device=place)
    residual = torch.full((rows,), torch.inf, dtype=limit.dtype, device=place)
    moving = torch.ones(rows, dtype=torch.bool, device=place)
    noise = _Noise() if noisy else None
    # Behind the noise a nudge cannot be seen to arrive, so it gets the time to pass all layers and die away.
    least = min(cap, math.ceil((model.depth + DIE_AWAY) / step_size)) if noisy else 0
    trace: list[Tensor] = []
    for step in range(1, cap + 1):
        rate = flow.rate()
        if noise is not None:
            rate, limit = noise.smooth(rate), torch.maximum(tolerance, noise.floor())
        residual = torch.where(moving, _largest(rate), residual)
        arrived = moving & (residual <= limit) & (tolerance > 0) & (step >= least)
        sweeps[arrived] = step
        moving = moving & ~arrived
        if not bool(moving.any()):
            break
        flow.advance(moving, step_size)
        if energy is not None:
            trace.append(energy(flow.state, flow.repeated(inputs), flow.nudge))
    drive = flow.now[-1]
    if noisy and options.average:
        drive = flow.average(options.average, step_size)
    output = flow.state[-1] if model.loss.in_energy else drive
    settled = Settled(flow.state, output, sweeps, residual, torch.stack(trace) if trace else None)
    return settled if nudge is not None else replace(settled, static=flow.static)


class _Noise:
    """Running means of a noisy phase: of its rates, and of their variance; each layer (rows, *shape)."""

    def __init__(self) -> None:
        self.rate: State = []
        self.last: State = []
        self.variance: State = []

    def smooth(self, rate: State) -> State:
        """Take in the rate of one step; returns the mean."""
        if not self.rate:
            self.rate, self.variance = rate, [value.square() for value in rate]
        else:
            change = [(new - old).square().div_(2) for new, old in zip(rate, self.last, strict=True)]
            self.rate, self.variance = _towards(self.rate, rate), _towards(self.variance, change)
        self.last = rate
        return self.rate

    def floor(self) -> Tensor:
        """How large noise alone makes the smoothed rate of each sample, (rows,)."""
        return _largest([value.sqrt() for value in self.variance]) * (REACH * SHARE)


class _Flow:
    """The state of one phase, and how it moves."""

    def __init__(
        self, model: Model, machine: Coupled, inputs: Tensor, nudge: Nudge | None, start: Settled | None
    ) -> None:
        self.model, self.machine = model, machine
        self.copies = 1 if nudge is None else len(nudge.beta) // len(inputs)
        self.rows = self.copies * len(inputs)
        self.nudge = None if nudge is None else Nudge(nudge.beta, nudge.target.repeat(self.copies, 1))
        known = None if nudge is None or start is None else start.static  # of other inputs or weights in a free phase
        self.static = input_drives(model, machine, inputs) if known is None else known
        fed = {model.couplings[c].target for c in model.outgoing[0]}
        self.held = [
            self.repeated(value) if value is not None and n in fed else value
            for n, value in enumerate(self.static, start=1)
        ]
        dtype = inputs.dtype if nudge is None else nudge.beta.dtype
        self.state: State = [
            torch.zeros(self.rows, *layer.shape, dtype=dtype, device=inputs.device)
            if start is None
            else start.state[n].to(dtype).repeat(self.rows // len(start.output), *[1] * len(layer.shape))
            for n, layer in enumerate(model.layers)
        ]
        self.membranes = [self._membrane(n, value) for n, value in enumerate(self.state)]
        self.now = self.drives()

    def repeated(self, value: Tensor) -> Tensor:
        return value.repeat(self.copies, *[1] * (value.dim() - 1))

    def drives(self) -> State:
        """b + Phi(below) + Phi^T(above) of every layer, from one and the same state."""
        model, machine, found = self.model, self.machine, list[Tensor]()
        for number in range(1, model.depth + 1):
            drive = self.held[number - 1]
            for c in model.incoming[number]:
                if model.couplings[c].source > 0:
                    drive = machine.couple(c, self.state[model.couplings[c].source - 1], drive)
            for c in model.outgoing[number]:
                above = self.state[model.couplings[c].target - 1]
                drive = machine.couple_back(c, above, self.state[number - 1], drive)
            assert drive is not None  # every layer has an incoming coupling
            found.append(drive)
        return found

    def rate(self) -> State:
        """How far each layer is from where it would come to rest with its neighbours held."""
        return [goal - value for goal, value in zip(self._targets(self.now), self.state, strict=True)]

    def advance(self, moving: Tensor, step: float) -> None:
        """One Euler step of the samples that still move, and the drives after it."""
        for n, (drive, value, membrane) in enumerate(zip(self.now, self.state, self.membranes, strict=True)):
            activation = self.model.layers[n].activation
            rows = moving.reshape(-1, *[1] * (value.dim() - 1))
            if membrane is not None and activation is not None:
                self.membranes[n] = membrane = torch.where(rows, membrane + step * (drive - membrane), membrane)
                moved = activation.rho(membrane)
            elif isinstance(activation, Box):
                moved = (value + step * (drive - activation.inverse(value))).clamp(activation.low, activation.high)
            elif self.model.loss.in_energy:
                rate = drive - value
                if self.nudge is not None:
                    rate = rate + self.nudge.beta[:, None] * (self.nudge.target - value)
                moved = value + step * rate
            else:  # the error current of a cross-entropy read-out has no dynamics of its own
                moved = self._signal(drive)
            self.state[n] = torch.where(rows, moved, value)
        self.now = self.drives()

    def average(self, steps: int, step: float) -> Tensor:
        """Go on for so many steps, and to the mean of the states that they pass; returns that of the last drive."""
        drive = torch.zeros_like(self.now[-1])
        total = [torch.zeros_like(value) for value in self.state]
        every = torch.ones(self.rows, dtype=torch.bool, device=total[0].device)
        for _ in range(steps):
            self.advance(every, step)
            drive += self.now[-1]
            for mean, value in zip(total, self.state, strict=True):
                mean.add_(value)
        self.state = [mean.div_(steps) for mean in total]
        return drive.div_(steps)

    def _membrane(self, n: int, value: Tensor) -> Tensor | None:
        activation = self.model.layers[n].activation
        if activation is None or isinstance(activation, Box):
            return None
        return activation.inverse(value) if bool((value != 0).any()) else torch.zeros_like(value)

    def _targets(self, drives: State) -> State:
        """Where each layer would come to rest with its neighbours held."""
        layers = zip(self.model.layers, drives, strict=True)
        goals = [layer.activation.rho(drive) for layer, drive in layers if layer.activation is not None]
        return [*goals, self._signal(drives[-1])]

    def _signal(self, drive: Tensor) -> Tensor:
        beta, target = (None, None) if self.nudge is None else (self.nudge.beta[:, None], self.nudge.target)
        return self.model.loss.signal(drive, beta, target)


def _towards(mean: State, new: State) -> State:
    return [torch.lerp(a, b, SMOOTHING) for a, b in zip(mean, new, strict=True)]


def _largest(rates: State) -> Tensor:
    return largest_change(rates, [torch.zeros_like(rate) for rate in rates])
