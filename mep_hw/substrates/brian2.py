"""The equations of motion of `mep_hw.flow`, integrated by the simulator brian2: a witness from outside this project.

brian2 reads equations as text, multiplies weights and states in its own synapses, adds and integrates; it gets numbers
from us and no function. Started alike and with the same steps it agrees with `reference` to rounding. It is for small
models and for checks: each phase costs tens of milliseconds before the first step, and convolutions are unrolled.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mep_hw.activation import Box
from mep_hw.brian.equations import layer_text, require_writable_model
from mep_hw.brian.network import Copies
from mep_hw.brian.quiet import release
from mep_hw.cards.schema import BackendCard, DeviceCard
from mep_hw.errors import CapabilityError
from mep_hw.model import Model
from mep_hw.state import Nudge, Settled, State
from mep_hw.substrates.digital import Digital

KEPT = 4  # networks, by their numbers of rows: free and nudged phases of a batch, and of the last, ragged one

release()


class Brian2(Digital):
    """Weights as exact numbers, which are put into brian2's synapses before every phase.

    Raises:
        CapabilityError: a model that has no equations (see `mep_hw.brian.equations`); a card without euler_step, or
            with another number format or place than float64 on the CPU.
    """

    text = staticmethod(layer_text)  # equations of a layer

    def __init__(self, model: Model, backend: BackendCard, device: DeviceCard | None, seed: int) -> None:
        require_writable_model(model)
        name, step = f"backend {backend.name}", backend.settle.euler_step
        if step is None:
            rule, fix = "this machine integrates and needs a step dt/tau", "set settle.euler_step to 0.5"
            raise CapabilityError(name, "settle.euler_step", rule=rule, fix=fix)
        if (backend.compute.dtype, backend.compute.torch_device) != ("float64", "cpu"):
            given = f"{backend.compute.dtype} on {backend.compute.torch_device}"
            rule, fix = "brian2 computes in float64 on the CPU", "write dtype: float64 and torch_device: cpu"
            raise CapabilityError(name, "compute", given, rule=rule, fix=fix)
        super().__init__(model, backend, device, seed)
        self.step = step
        self.networks: dict[int, Copies] = {}

    def settle(self, inputs: Tensor, nudge: Nudge | None = None, start: Settled | None = None) -> Settled:
        network, x, repeated = self.prepared(inputs, nudge)
        if start is not None:
            self._start(network, start.state)
        options = self.backend.settle
        limit, steps = torch.full((network.rows,), options.tolerance), options.free_sweeps
        if nudge is not None:
            limit, steps = options.nudged_tolerance * nudge.beta.abs(), nudge.cap(options.nudged_sweeps)
        trace: list[Tensor] = []

        def record() -> None:
            trace.append(self.energy(self._state(network), x, repeated))

        rest = network.run(limit.numpy(), steps, record if self.record_energy else None)
        state = self._state(network)
        sweeps, residual = torch.as_tensor(rest.sweeps), torch.as_tensor(rest.residual)
        return Settled(state, state[-1], sweeps, residual, torch.stack(trace) if trace else None)

    def prepared(self, inputs: Tensor, nudge: Nudge | None) -> tuple[Copies, Tensor, Nudge | None]:
        """A network at time 0 that holds inputs, weights, biases and nudge; and the inputs and the nudge row by row.

        Raises:
            CapabilityError: a complex strength.
        """
        if nudge is not None and nudge.beta.is_complex():
            rule, fix = "states of brian2 are real numbers", "use the cpu backend or estimator richardson"
            raise CapabilityError(f"backend {self.backend.name}", "beta", "complex", rule=rule, fix=fix)
        copies = 1 if nudge is None else len(nudge.beta) // len(inputs)
        x = inputs.repeat(copies, *[1] * (inputs.dim() - 1))
        network = self._network(len(x))
        weights = [weight.numpy() for weight in self.weights]
        network.reset(x.numpy(), weights, [None if bias is None else bias.numpy() for bias in self.biases])
        if nudge is None:
            return network, x, None
        repeated = Nudge(nudge.beta, nudge.target.repeat(copies, 1))
        network.put(self.model.depth, "beta", repeated.beta[:, None].numpy())
        network.put(self.model.depth, "y", repeated.target.numpy())
        return network, x, repeated

    def _network(self, rows: int) -> Copies:
        """The network for so many rows; that used longest ago is given up for a new one."""
        network = self.networks.pop(rows, None) or Copies(self.model, rows, self.step, self.text)
        self.networks[rows] = network
        if len(self.networks) > KEPT:
            del self.networks[next(iter(self.networks))]
        return network

    def _start(self, network: Copies, state: State) -> None:
        for number, (layer, value) in enumerate(zip(self.model.layers, state, strict=True), start=1):
            value = value.repeat(network.rows // len(value), *[1] * len(layer.shape))
            network.put(number, "s", value.numpy())
            if layer.activation is None or isinstance(layer.activation, Box):
                continue
            if bool((value != 0).any()):  # states of 0 stand for a machine that was just switched on
                network.put(number, "u", layer.activation.inverse(value).numpy())

    def _state(self, network: Copies) -> State:
        return [torch.from_numpy(network.get(number, "s")) for number in range(1, self.model.depth + 1)]
