"""EP in which units talk by spikes: leaky membranes, integrate-and-fire encoders, filtered traces.

    membrane    tau du/dt = drive - u, for the read-out + beta (y - u)
    encoder     tau dv/dt = RATE (clip(u, low, high) - low) / (high - low); at v >= 1 a spike, and v falls by 1
    trace       tau_s ds/dt = low - s, and a spike adds (high - low) tau / (RATE tau_s): its mean is clip(u, low, high)
    drive       bias + W s (below) + W^T s (above): an exponential synapse; the input is a constant current

What a phase gives is the mean trace over its last `settle.average` steps, so the contrast is Hebbian in filtered
traces, which both ends of a synapse have. Phases are those of EP; a nudged one goes on from where membranes, encoders
and traces were at the end of the free one. The idea is that of EqSpike (Martin et al. 2021, arXiv 2010.07859), the
equations are ours. The read-out, linear in the rate model, saturates here at READ_OUT.

Means of spike trains are multiples of 1 / (RATE * time of averaging) up to what the filter smooths: nudges must be
strong enough to be seen. Nothing here is fitted to a chip, and the simulation is slow; see docs/brian2.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mep_hw.activation import Box
from mep_hw.brian.equations import LayerText, drive_text
from mep_hw.brian.network import Copies
from mep_hw.brian.paths import Floats
from mep_hw.cards.schema import BackendCard, DeviceCard
from mep_hw.errors import CapabilityError
from mep_hw.model import Model
from mep_hw.state import Nudge, Settled
from mep_hw.substrates.brian2 import Brian2

RATE = 10.0  # spikes of a unit at u = 1, per tau
TRACE = 1.0  # tau_s, in tau
READ_OUT = Box(-0.5, 1.5)  # range in which the read-out is linear; targets are 0 and 1
INSIDE = ("u", "v", "s")


@dataclass(frozen=True)
class Inside:
    """What units remember from one phase to the next: u, v and s of every layer, each (rows, *shape)."""

    layers: list[dict[str, Floats]]


def spiking_text(model: Model, layer: int) -> LayerText:
    """Equations of layer `layer`, counted from 1, with spikes; `s` is the trace.

    Raises:
        CapabilityError: units that are no boxes of gain 1 and offset 0.
    """
    activation = model.layers[layer - 1].activation
    box, nudge, target = activation, "", ""
    if box is None:
        box, nudge, target = READ_OUT, " + beta*(y - u)", "beta : 1\ny : 1\n"
    if not isinstance(box, Box) or (box.gain, box.offset) != (1, 0):
        rule, fix = "encoders fire at rates that follow clip(u, low, high)", "use hard_sigmoid"
        raise CapabilityError("spiking units", f"activation of layer {layer}", activation, rule=rule, fix=fix)
    low, height = float(box.low), float(box.high - box.low)
    encoder = f"dv/dt = {RATE}*(clip(u, {low!r}, {box.high!r}) - {low!r})/{height!r}/tau : 1"
    ode = f"du/dt = (drive - u{nudge})/tau : 1\n{encoder}\nds/dt = ({low!r} - s)/({TRACE}*tau) : 1"
    reset = f"v -= 1\ns += {height / (RATE * TRACE)!r}"
    return LayerText(f"{ode}\n{target}{drive_text(model, layer)}", threshold="v >= 1", reset=reset)


class Spiking(Brian2):
    """A machine of spiking units in brian2. Phases have the card's numbers of steps and never stop before.

    Raises:
        CapabilityError: other units than hard sigmoid; or a card with tolerances, which spikes cannot keep, with no
            averaging, or with steps in which a unit would fire twice.
    """

    text = staticmethod(spiking_text)

    def __init__(self, model: Model, backend: BackendCard, device: DeviceCard | None, seed: int) -> None:
        super().__init__(model, backend, device, seed)
        options, name = backend.settle, f"backend {backend.name}"
        if options.tolerance or options.nudged_tolerance:
            rule, fix = "spiking units never rest", "set tolerance and nudged_tolerance to 0"
            raise CapabilityError(name, "settle.tolerance", options.tolerance, rule=rule, fix=fix)
        if options.average < 2:
            rule, fix = "single spikes say little: means need 2 steps at least", "set it to half a phase"
            raise CapabilityError(name, "settle.average", options.average, rule=rule, fix=fix)
        if self.step * RATE > 1:
            rule, fix = f"a unit would fire more than once in a step longer than {1 / RATE:g}", "take a smaller step"
            raise CapabilityError(name, "settle.euler_step", self.step, rule=rule, fix=fix)
        for layer in range(1, model.depth + 1):
            self.text(model, layer)

    def settle(self, inputs: Tensor, nudge: Nudge | None = None, start: Settled | None = None) -> Settled:
        """The mean traces of a phase; the residual is how far those of both halves of the averaging are apart.

        Raises:
            CapabilityError: a phase shorter than the averaging.
        """
        options = self.backend.settle
        steps = options.free_sweeps if nudge is None else nudge.cap(options.nudged_sweeps)
        if steps < options.average:
            rule, fix = f"is shorter than settle.average = {options.average}", "give it more sweeps, or average less"
            raise CapabilityError(f"backend {self.backend.name}", "sweeps of a phase", steps, rule=rule, fix=fix)
        network, _, _ = self.prepared(inputs, nudge)
        if start is not None:
            self._resume(network, start)
        means = _Means(network, steps, options.average)
        network.run(np.zeros(network.rows), steps, means.add)
        state = [torch.from_numpy(value) for value in means.whole()]
        inside = Inside([{name: network.get(n, name) for name in INSIDE} for n in range(1, self.model.depth + 1)])
        sweeps = torch.full((network.rows,), steps)
        return Settled(state, state[-1], sweeps, torch.from_numpy(means.drift()), resume=inside)

    def _resume(self, network: Copies, start: Settled) -> None:
        """Go on from the end of another phase, or from states alone, as if all units had fired at these rates."""
        inside = start.resume
        for number, state in enumerate(start.state, start=1):
            value = state.numpy()
            known = inside.layers[number - 1] if isinstance(inside, Inside) else {"u": value, "s": value}
            for name, held in known.items():
                network.put(number, name, np.concatenate([held] * (network.rows // len(held))))


class _Means:
    """Mean traces over the last steps of a phase, kept in two halves."""

    def __init__(self, network: Copies, steps: int, window: int) -> None:
        self.network, self.window, self.step, self.skipped = network, window, 0, steps - window
        self.halves: list[list[Floats]] = [[], []]

    def add(self) -> None:
        """Called after every step."""
        self.step += 1
        if self.step <= self.skipped:
            return
        half = self.halves[(self.step - self.skipped) > self.window // 2]
        now = [self.network.get(n, "s") for n in range(1, self.network.model.depth + 1)]
        if not half:
            half += now
            return
        for total, value in zip(half, now, strict=True):
            total += value

    def whole(self) -> list[Floats]:
        """Of every layer, (rows, *shape)."""
        return [(a + b) / self.window for a, b in zip(*self.halves, strict=True)]

    def drift(self) -> Floats:
        """(rows,) largest distance between the means of both halves."""
        first = self.window // 2
        gaps = [np.abs(a / first - b / (self.window - first)) for a, b in zip(*self.halves, strict=True)]
        return np.max([gap.reshape(len(gap), -1).max(1) for gap in gaps], axis=0)
