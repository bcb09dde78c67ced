"""Loihi: a chip of whole-number units and 8-bit synapses, as our emulator or Lava's simulation computes it.

All units move at once, a fixed number of steps a phase, and send their states as graded spikes in every step; what the
arithmetic is exactly says `mep_hw.loihi.network`. Weights are whole steps of registers, and the host writes them;
contrasts are computed by the host from the states that it reads.

Not a chip: none was available, and nothing of Intel's closed extension is used. What a model takes of cores, memory and
axons says `mep_hw.loihi.mapping`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mep_hw.activation import Box
from mep_hw.cards.schema import BackendCard, DeviceCard
from mep_hw.cards.whole import require_stable, step_shift
from mep_hw.errors import CapabilityError
from mep_hw.loihi.emulated import Emulated
from mep_hw.loihi.emulator import Arithmetic
from mep_hw.loihi.environment import lava_python
from mep_hw.loihi.events import Lines, Senders
from mep_hw.loihi.formats import check, check_model, held_bias, populations, scales
from mep_hw.loihi.hardware import no_hardware
from mep_hw.loihi.lava import Lava
from mep_hw.loihi.network import Curve, Network, Population
from mep_hw.loihi.numbers import Floating, Numbers, Whole
from mep_hw.loihi.required import required
from mep_hw.loihi.simulated import Simulated
from mep_hw.model import Model
from mep_hw.schedule import Cost, Schedule
from mep_hw.state import Nudge, Settled, State, copies
from mep_hw.substrates.digital import Digital


@dataclass(frozen=True)
class Kept:
    """What a phase leaves for the next one: membranes, what was fed from the input, and lines that events ran on."""

    membranes: State
    fed: list[Tensor]
    lines: Lines | None


class Loihi(Digital):
    """Weights as whole steps, states as whole numbers; or both as they are, in Lava's floating point.

    Raises:
        CardError: the card lacks what such a machine needs, or has what it cannot do.
        CapabilityError: the model does not fit the formats; there is no Lava, or no chip, that the mode asks for.
    """

    own_blocks = ("loihi",)

    def __init__(self, model: Model, backend: BackendCard, device: DeviceCard | None, seed: int) -> None:
        self.options = required(backend)
        super().__init__(model, backend, device, seed)
        check_model(model, backend.name)
        self.fixed = self.options.mode != "lava-float"
        self.senders = Senders(self.options.send_threshold) if self.options.send_threshold else None
        self.lava: Lava | None = None
        if self.options.mode == "hardware":
            raise no_hardware(backend.name)
        if self.options.mode == "lava-learn":
            rule, fix = "learns one connection, and only about as EP does", "run mep-hw loihi learn, or set lava-fixed"
            raise CapabilityError(f"backend {backend.name}", "loihi.mode", "lava-learn", rule=rule, fix=fix)
        if self.options.mode != "emulator":
            python = lava_python().path
            self.lava = Lava(python, batched=self.options.batched, timeout_s=self.options.timeout_s)
        self._place()

    def close(self) -> None:
        self.chip.close()

    def settle(self, inputs: Tensor, nudge: Nudge | None = None, start: Settled | None = None) -> Settled:
        if nudge is not None and start is None:
            start = self.settle(inputs)
        rows = len(inputs) if nudge is None else len(nudge.beta)
        kept = start.resume if start is not None and isinstance(start.resume, Kept) and nudge is not None else None
        # A free phase may have other inputs than the state it starts from.
        fed = self.chip.feed(self.numbers.sent(inputs)) if kept is None else kept.fed
        beta = target = None
        if nudge is not None:
            require_stable(self.backend, nudge.beta)
            beta = self.numbers.strengths(nudge.beta)
            target = copies(self.numbers.targets(nudge.target), rows)
        trace: list[Tensor] = []
        options = self.backend.settle
        steps = options.free_sweeps if nudge is None else nudge.cap(options.nudged_sweeps)
        watch = self._recorder(inputs, nudge, trace) if self.record_energy else None
        membranes, lines = self._membranes(rows, start), None
        if self.senders is None:
            state, earlier = self.chip.run(fed, membranes, beta, target, steps, watch)
        else:
            assert isinstance(self.chip, Emulated)  # `required` has seen it
            lines = self.senders.lines(rows, None if kept is None else kept.lines)
            state, earlier = self.chip.run(fed, membranes, beta, target, steps, watch, lines)
            self.senders.count(lines, self.numbers.sent(inputs), nudged=nudge is not None)
        found, before = self._states(state), self._states(earlier)
        sweeps = torch.full((rows,), steps, dtype=torch.int64)
        return Settled(
            found, found[-1].clone(), sweeps, None, torch.stack(trace) if trace else None,
            earlier=before, resume=Kept(state, fed, lines),
        )  # fmt: skip

    def remarks(self) -> dict[str, float | str]:
        """Events per phase and sample, where units send only what has changed."""
        return {} if self.senders is None else self.senders.remarks()

    def apply(self, coupling: int, schedule: Schedule) -> Cost:
        cost = super().apply(coupling, schedule)
        self.chip.load(coupling, self._numbers_of(coupling))
        return cost

    def write(self, coupling: int, weights: Tensor) -> Cost:
        cost = super().write(coupling, weights)
        self.chip.load(coupling, self._numbers_of(coupling))
        return cost

    def write_bias(self, layer: int, values: Tensor) -> None:
        bias = self._bias(layer)
        whole = self._added(layer, self.tensor(values).reshape(bias.shape))  # refused before anything changes
        super().write_bias(layer, values)
        self.chip.hold(layer, whole)

    def apply_bias(self, layer: int, schedule: Schedule) -> Cost:
        cost = super().apply_bias(layer, schedule)
        self.chip.hold(layer, self._bias_of(layer))
        return cost

    def restore(self, tensors: dict[str, Tensor]) -> None:
        super().restore(tensors)
        self._place()  # the steps of the registers may be other ones

    def _place(self) -> None:
        """Put the whole model on the chip: scales, units, weights."""
        self.numbers: Numbers
        self.chip: Emulated | Simulated
        weights = [self._numbers_of(c) for c in range(len(self.model.couplings))]
        if not self.fixed:
            assert self.lava is not None  # there is no other machine for floating-point numbers
            self.numbers = Floating(self.model)
            units = tuple(self._floating_unit(layer) for layer in range(1, self.model.depth + 1))
            network = Network(False, units, (), dt=self.backend.settle.euler_step or 1.0)
            self.chip = Simulated(self.model, network, weights, None, self.lava, self.backend.name)
            return
        options, name = self.options, self.backend.name
        found = scales(self.model, [self._step(c) for c in range(len(weights))], options)
        check(self.model, found, options, step_shift(self.backend), name)
        units = populations(self.model, self.biases, found, options, name)
        self.numbers = Whole(self.model, units, options, name)
        shift, limit = options.state_fraction - options.payload_fraction, 2 ** (options.payload_bits - 1)
        if self.lava is None:
            arithmetic = Arithmetic(step_shift(self.backend), shift, limit, options.beta_fraction)
            self.chip = Emulated(self.model, units, weights, found, arithmetic)
            return
        network = Network(True, units, (), step_shift(self.backend), shift, limit, options.beta_fraction)
        self.chip = Simulated(self.model, network, weights, found, self.lava, name)

    def _numbers_of(self, c: int) -> Tensor:
        """The weights of one coupling as the chip holds them: even whole numbers, or as they are; float64."""
        weights = self.weights[c].to(torch.float64)
        return weights.div(self._step(c)).round_().mul_(2) if self.fixed else weights

    def _step(self, c: int) -> float:
        registers = self.card_of(c).registers
        assert registers is not None  # `required` has seen them
        return registers.step

    def _bias_of(self, layer: int) -> Tensor:
        """What each unit of a layer adds to its drive, (*shape), in the numbers of the chip."""
        return self._added(layer, self.biases[layer - 1])

    def _added(self, layer: int, bias: Tensor | None) -> Tensor:
        return held_bias(self.model, layer, bias, self.options if self.fixed else None, self.backend.name)

    def _floating_unit(self, layer: int) -> Population:
        activation, bias = self.model.layers[layer - 1].activation, self._bias_of(layer).reshape(-1).numpy()
        if activation is None:
            return Population(bias)
        if isinstance(activation, Box):
            return Population(bias, low=activation.low, high=activation.high)
        return Population(bias, curve=Curve("tanh" if activation.low < 0 else "sigmoid"))

    def _membranes(self, rows: int, start: Settled | None) -> State:
        """What units start from, (rows, *shape): rest, or the membranes of a state."""
        found: list[Tensor] = []
        for n, layer in enumerate(self.model.layers):
            if start is None:
                value = torch.zeros(1, *layer.shape, dtype=torch.float64)
                if isinstance(layer.activation, Box):
                    value = self.numbers.membrane(n, value.clamp(layer.activation.low, layer.activation.high))
            elif isinstance(start.resume, Kept):
                value = start.resume.membranes[n]
            else:
                value = self.numbers.membrane(n, start.state[n])
            found.append(copies(value, rows))
        return found

    def _states(self, membranes: State) -> State:
        return [self.numbers.values(n, value).to(self.dtype) for n, value in enumerate(membranes)]

    def _recorder(self, inputs: Tensor, nudge: Nudge | None, trace: list[Tensor]) -> Callable[[State], None]:
        """Adds the energy of every state that it is told to `trace`."""
        rows = len(inputs) if nudge is None else len(nudge.beta)
        x = copies(inputs, rows)
        pull = None if nudge is None else Nudge(nudge.beta, copies(nudge.target, rows))
        return lambda membranes: trace.append(self.energy(self._states(membranes), x, pull))
