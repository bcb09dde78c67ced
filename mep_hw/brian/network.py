"""Independent copies of a model, one for every sample, as one network of brian2.

Unit k of sample r is neuron r * units + k. Synapses join units of the same sample only, so a batch is one run. The
network is kept: inputs, weights, biases and states are put into its arrays before every run.

brian2 multiplies, adds and integrates (its own Euler method). In a time step come, in this order: sums over synapses,
gaps, the look whether samples rest, the Euler step, and the clamp or rho. That is a synchronous step of all layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from brian2 import Clock, NetworkOperation, NeuronGroup, Synapses, linked_var, ms

from mep_hw.brian.equations import LayerText, layer_text, sums, synapse_text
from mep_hw.brian.paths import Floats, paths
from mep_hw.brian.prepared import Prepared
from mep_hw.brian.quiet import TARGET
from mep_hw.brian.rest import Rest
from mep_hw.model import Model

TAU = 1 * ms  # any would do: steps are given as multiples of it

# brian2 puts sums over synapses one place before the group that they are for, and the Euler step at the group's own.
SUMS, GAPS, LOOK, EULER = 0, 0, 1, 2


class Copies:
    """The network for `rows` samples of a model, with time step `step` (in units of tau).

    text: equations of a layer of the model, whose variable `s` is what synapses carry.
    """

    def __init__(
        self, model: Model, rows: int, step: float, text: Callable[[Model, int], LayerText] = layer_text
    ) -> None:
        self.model, self.rows, self.step, self.text = model, rows, step * TAU, text
        self.clock, self.once = Clock(self.step), Clock(self.step)  # `once` ticks at the start of a run only
        self.rest: Rest | None = None
        self.record: Callable[[], None] | None = None
        self.inputs = self._group(math.prod(model.input_shape), "s : 1", self.once)
        every = range(1, model.depth + 1)
        self.inflow = [self._ends(layer, of_input=True) for layer in every]
        self.ends = [self._ends(layer, of_input=False) for layer in every]
        self.layers = [self._layer(layer) for layer in every]
        self.paths = [paths(k) for k in model.couplings]
        self.synapses = [self._synapses(c) for c in range(len(model.couplings))]
        look = NetworkOperation(self._look, clock=self.clock, when="groups", order=LOOK)
        after = NetworkOperation(self._after, clock=self.clock, when="end")
        groups = (self.inputs, *self.inflow, *self.ends, *self.layers, *self.synapses)
        self.network = Prepared(*groups, look, after)
        self.network.store()

    def reset(self, inputs: Floats, weights: Sequence[Floats], biases: Sequence[Floats | None]) -> None:
        """Back to time 0 and to states of 0, with these numbers.

        Args:
            inputs: (rows, *input_shape).
            weights: of every coupling, in its own shape.
            biases: of every layer, in its own shape; None: it has none.
        """
        self.network.restore()
        _held(self.inputs, "s")[:] = inputs.ravel()
        for synapses, path, weight in zip(self.synapses, self.paths, weights, strict=True):
            _held(synapses, "w")[:] = np.tile(weight.ravel()[path.weight] * path.factor, self.rows)
        for number, bias in enumerate(biases, start=1):
            self.put(number, "live", np.ones(()))
            if bias is not None:
                self.put(number, "bias", bias)

    def put(self, layer: int, name: str, value: Floats) -> None:
        """Set a variable of layer `layer` (counted from 1) to values that broadcast to (rows, *shape)."""
        held = _held(self.layers[layer - 1], name)
        held.reshape(self.rows, *self.model.layers[layer - 1].shape)[:] = value

    def get(self, layer: int, name: str) -> Floats:
        """A copy of a variable of layer `layer`, (rows, *shape)."""
        return _held(self.layers[layer - 1], name).reshape(self.rows, *self.model.layers[layer - 1].shape).copy()

    def run(self, limit: Floats, steps: int, record: Callable[[], None] | None = None) -> Rest:
        """Integrate from time 0 until all samples rest, or so many steps.

        Args:
            limit: (rows,) largest gap of a sample that rests; 0: it never does.
            record: called after every step.
        """
        gaps, live = ([_held(group, name) for group in self.layers] for name in ("gap", "live"))
        self.rest, self.record = Rest(gaps, live, limit, steps, self.network.stop), record
        self.once.dt = steps * self.step
        self.network.go(float(steps * self.step))
        return self.rest

    def _group(self, units: int, text: str, clock: Clock) -> NeuronGroup:
        return NeuronGroup(self.rows * units, text, clock=clock, order=SUMS, codeobj_class=TARGET)

    def _ends(self, layer: int, *, of_input: bool) -> NeuronGroup:
        """What synapses see of a layer: the sums that they make for it, and its states, linked by `_layer`."""
        text = "\n".join(f"{name} : 1" for name in sums(self.model, layer, of_input=of_input))
        if of_input:
            return self._group(self._units(layer), text, self.once)
        return self._group(self._units(layer), f"s : 1 (linked)\n{text}", self.clock)

    def _layer(self, layer: int) -> NeuronGroup:
        text = self.text(self.model, layer)
        group = NeuronGroup(
            self.rows * self._units(layer), text.ode, method="euler", threshold=text.threshold, reset=text.reset,
            clock=self.clock, order=EULER, namespace={"tau": TAU}, codeobj_class=TARGET,
        )  # fmt: skip
        if text.gap:
            group.run_regularly(text.gap, when="groups", order=GAPS)
        if text.after:
            group.run_regularly(text.after, when="after_groups")
        for ends, of_input in ((self.inflow[layer - 1], True), (self.ends[layer - 1], False)):
            for name in sums(self.model, layer, of_input=of_input):
                setattr(group, name, linked_var(ends, name))
        self.ends[layer - 1].s = linked_var(group, "s")
        return group

    def _synapses(self, c: int) -> Synapses:
        coupling, path = self.model.couplings[c], self.paths[c]
        outside = coupling.source == 0
        below = self.inputs if outside else self.ends[coupling.source - 1]
        above = (self.inflow if outside else self.ends)[coupling.target - 1]
        synapses = Synapses(below, above, synapse_text(self.model, c), clock=self.clock, codeobj_class=TARGET)
        copies = np.arange(self.rows)[:, None]
        source, target = (math.prod(shape) for shape in (coupling.source_shape, coupling.target_shape))
        synapses.connect(i=(copies * source + path.source).ravel(), j=(copies * target + path.target).ravel())
        return synapses

    def _units(self, layer: int) -> int:
        return math.prod(self.model.layers[layer - 1].shape)

    def _look(self) -> None:
        assert self.rest is not None  # set by `run`
        self.rest.look()

    def _after(self) -> None:
        if self.record is not None:
            self.record()


def _held(group: NeuronGroup | Synapses, name: str) -> Floats:
    """The array that brian2 computes with."""
    return group.variables[name].get_value()
