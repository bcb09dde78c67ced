"""An FPGA of the fixed-point specification, as its native executable computes it, bit for bit.

All layers move at once, a fixed number of steps a phase (`mep_hw.fpga.spec`). Weights are whole steps of registers.
By default the host writes them, from contrasts of the states that it reads. With `fpga.learning` set to chip, the
machine learns by itself after every sample, in its own arithmetic with its own shift registers (`learner`).

The host keeps biases finer than the machine, which gets them rounded; a machine that learns by itself leaves its own.
Time, energy and area are not modelled here.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mep_hw.activation import Box
from mep_hw.cards.schema import BackendCard, DeviceCard
from mep_hw.cards.whole import require_stable, step_shift
from mep_hw.errors import CapabilityError
from mep_hw.fpga import tools
from mep_hw.fpga.card_formats import card_formats
from mep_hw.fpga.native import Part
from mep_hw.fpga.numbers import held, real_states, whole_beta, whole_inputs, whole_states, whole_targets
from mep_hw.fpga.on_chip import OnChip, halvings
from mep_hw.fpga.oracle import States, at_rest
from mep_hw.fpga.quantised import Formats, bias_of, learning_of, quantised
from mep_hw.fpga.required import required
from mep_hw.fpga.spec import Spec, Values, Whole
from mep_hw.fpga.supported import require_supported
from mep_hw.model import Model
from mep_hw.schedule import Cost, Schedule
from mep_hw.state import Nudge, Settled, State, copies
from mep_hw.substrates.digital import Digital


@dataclass(frozen=True)
class Kept:
    """What a phase leaves for the next one: states in whole numbers, and what the input adds to layer 1."""

    states: States
    drive: Whole


class Fpga(Digital):
    """Weights as whole steps, states as whole numbers.

    spec, values: what the machine is and holds, as an export would write them.

    Raises:
        CardError: the card lacks what such a machine needs, or has what it cannot do.
        CapabilityError: the model is not in the specification, or does not fit the formats; names the layer.
        MachineError: there is no g++ to compile the executable.
    """

    own_blocks = ("fpga",)

    def __init__(self, model: Model, backend: BackendCard, device: DeviceCard | None, seed: int) -> None:
        self.options = required(backend)
        require_supported(model)
        tools.require("g++")
        super().__init__(model, backend, device, seed)
        self.seed = seed
        self.on_chip: OnChip | None = None
        self.halvings: tuple[list[int], list[int]] | None = None  # of the chip's own learning rates
        self.spec: Spec
        self.values: Values
        self._place(backend.training.beta)

    @property
    def learns(self) -> bool:
        return self.options.learning == "chip"

    def settle(self, inputs: Tensor, nudge: Nudge | None = None, start: Settled | None = None) -> Settled:
        if nudge is not None and start is None:
            start = self.settle(inputs)
        kept = start.resume if start is not None and isinstance(start.resume, Kept) and nudge is not None else None
        # A free phase may have other inputs than the state it starts from.
        drive = self._part.up(self.values.weights[0], whole_inputs(self.spec, inputs)) if kept is None else kept.drive
        rows = len(inputs) if nudge is None else len(nudge.beta)
        beta = target = None
        if nudge is not None:
            beta = self._strengths(nudge.beta)
            target = _copies(whole_targets(self.spec, nudge.target), rows)
        given, begin = _copies(drive, rows), self._begin(rows, start)
        options = self.backend.settle
        steps = options.free_sweeps if nudge is None else nudge.cap(options.nudged_sweeps)

        def run(states: States, count: int) -> States:
            return self._part.settle(self.values.weights, self.values.biases, given, states, count, beta, target)

        if self.record_energy:
            trace, x = list[Tensor](), copies(inputs, rows)
            pull = None if nudge is None else Nudge(nudge.beta, copies(nudge.target, rows))
            earlier = found = begin
            for _ in range(steps):
                earlier, found = found, run(found, 1)
                trace.append(self.energy(self._states(found), x, pull))
        else:
            earlier, trace = run(begin, steps - 1), None
            found = run(earlier, 1)
        state = self._states(found)
        sweeps = torch.full((rows,), steps, dtype=torch.int64)
        return Settled(
            state, state[-1].clone(), sweeps, None, torch.stack(trace) if trace else None,
            earlier=self._states(earlier), resume=Kept(found, drive),
        )  # fmt: skip

    def learner(
        self,
        beta: float,
        lr: Sequence[float],
        bias_lr: Sequence[float],
        couplings: Sequence[int],
        layers: Sequence[int],
    ) -> Callable[[Tensor, Tensor], tuple[Settled, Cost]]:
        weights = [halvings(beta, rate, f"lr of layer {n}") for n, rate in enumerate(lr, start=1)]
        biases = [halvings(beta, rate, f"bias_lr of layer {n}") for n, rate in enumerate(bias_lr, start=1)]
        self.halvings = weights, biases
        self._place(beta)
        self._read_back()  # biases, which the host has kept finer until now
        self.on_chip = on_chip = OnChip(self.spec, [c + 1 for c in couplings], layers)
        strengths = torch.tensor([beta, -beta], dtype=torch.float64)

        def learn(inputs: Tensor, target: Tensor) -> tuple[Settled, Cost]:
            if len(inputs) != 1:
                rule, fix = "must be 1, as the chip learns after every sample", "set it to 1, or fpga.learning to host"
                raise CapabilityError(f"backend {self.backend.name}", "batch_size", len(inputs), rule=rule, fix=fix)
            free = self.settle(inputs)
            both = self.settle(inputs, Nudge(strengths, target), free).resume
            assert isinstance(both, Kept)
            ends = tuple(s[:1] for s in both.states), tuple(s[1:] for s in both.states)
            self.values = on_chip.update(self.spec, self.values, whole_inputs(self.spec, inputs), *ends)
            self._read_back()
            return free, Cost(cycles=len(couplings), slots=0, pulses=0, line_pulses=0, reads=0)

        return learn

    def apply(self, coupling: int, schedule: Schedule) -> Cost:
        cost = super().apply(coupling, schedule)
        self._load(coupling)
        return cost

    def write(self, coupling: int, weights: Tensor) -> Cost:
        cost = super().write(coupling, weights)
        self._load(coupling)
        return cost

    def write_bias(self, layer: int, values: Tensor) -> None:
        bias = self._bias(layer)
        whole = self._whole_bias(layer, self.tensor(values).reshape(bias.shape))  # refused before anything changes
        super().write_bias(layer, values)
        self._hold(layer, whole)

    def apply_bias(self, layer: int, schedule: Schedule) -> Cost:
        before = self._bias(layer).clone()
        cost = super().apply_bias(layer, schedule)
        bias = self._bias(layer)
        try:
            self._hold(layer, self._whole_bias(layer, bias))
        except CapabilityError:
            bias.copy_(before)
            raise
        return cost

    def snapshot(self) -> dict[str, Tensor]:
        drawn = {} if self.on_chip is None else self.on_chip.tensors()
        return super().snapshot() | drawn

    def restore(self, tensors: dict[str, Tensor]) -> None:
        super().restore(tensors)
        self._place(self.spec.beta / 2**self.spec.beta_fraction)  # the steps of the registers may be other ones
        if self.on_chip is not None:
            self.on_chip.load(tensors)

    def _place(self, beta: float) -> None:
        """The whole model in whole numbers, with room for nudges of strength `beta`."""
        twin, options, settle = copy.copy(self.model), self.options, self.backend.settle
        twin.weights, twin.biases = self.weights, self.biases
        formats = self._formats()
        learning = None if self.halvings is None else learning_of(formats, *self.halvings, self.seed)
        self.spec, self.values = quantised(
            twin, formats, free_steps=settle.free_sweeps, nudged_steps=settle.nudged_sweeps, beta=beta,
            beta_fraction=options.beta_fraction, step_shift=step_shift(self.backend), lanes=options.lanes,
            learning=learning, sum_bits=options.sum_bits, rewritten=True,
        )  # fmt: skip
        self._part = Part(self.spec)

    def _formats(self) -> Formats:
        registers = [card.registers for card in self.cards if card.registers is not None]  # `required` has seen them
        return card_formats(self.options, registers, self.backend.name)

    def _load(self, c: int) -> None:
        whole = np.rint(self.weights[c].to(torch.float64).numpy() * 2.0 ** self.spec.weights[c].fraction)
        weights = [*self.values.weights]
        weights[c] = whole.astype(np.int64)
        self.values = Values(tuple(weights), self.values.biases)

    def _hold(self, layer: int, whole: Whole) -> None:
        biases = [*self.values.biases]
        biases[layer - 1] = whole
        self.values = Values(self.values.weights, tuple(biases))

    def _whole_bias(self, layer: int, bias: Tensor) -> Whole:
        twin = copy.copy(self.model)
        twin.biases = [bias if n == layer else None for n in range(1, self.model.depth + 1)]
        return held(bias_of(twin, layer), self.spec.layers[layer].bias, f"biases of layer {layer}", "bias_bits")

    def _read_back(self) -> None:
        """Weights and biases as the chip has left them."""
        for c, whole in enumerate(self.values.weights):
            self.weights[c].copy_(torch.from_numpy(whole * self.spec.weights[c].step))
        for n, (bias, whole) in enumerate(zip(self.biases, self.values.biases, strict=True), start=1):
            if bias is not None:
                activation = self.model.layers[n - 1].activation
                offset = activation.offset if isinstance(activation, Box) else 0.0
                value = torch.from_numpy(whole * self.spec.layers[n].state.step) - offset
                bias.copy_(value.reshape(bias.shape))

    def _strengths(self, beta: Tensor) -> Whole:
        """Strengths (rows,) in whole numbers, after room has been made for them."""
        values = beta.to(torch.float64)
        strongest = float(values.abs().max()) if len(values) else 0.0
        if strongest == 0:
            return np.zeros(len(values), dtype=np.int64)
        require_stable(self.backend, values)
        for value in values.abs().unique().tolist():
            if value:
                whole_beta(value, self.spec.beta_fraction)
        if strongest * 2**self.spec.beta_fraction > self.spec.beta:
            self._place(strongest)
        return (values * 2**self.spec.beta_fraction).round().to(torch.int64).numpy()

    def _begin(self, rows: int, start: Settled | None) -> States:
        if start is None:
            return at_rest(self.spec, rows)
        if isinstance(start.resume, Kept):
            return tuple(_copies(value, rows) for value in start.resume.states)
        return tuple(_copies(value, rows) for value in whole_states(self.spec, start.state))

    def _states(self, states: States) -> State:
        found = (real_states(self.spec, n, value) for n, value in enumerate(states, start=1))
        return [torch.from_numpy(value).to(self.dtype) for value in found]


def _copies(batch: Whole, rows: int) -> Whole:
    return batch if len(batch) == rows else np.tile(batch, (rows // len(batch), 1))
