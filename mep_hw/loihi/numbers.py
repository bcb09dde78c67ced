"""Numbers of the host as those of the chip and back: inputs, states, strengths; whole ones, or floating-point ones.

Tensors on the chip's side are float64, which hold whole numbers up to 2^53. Membranes are what units keep: the state
itself, but of smooth units what rho is taken of.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from mep_hw.activation import Activation, Box
from mep_hw.cards.loihi import LoihiOptions
from mep_hw.errors import CapabilityError
from mep_hw.loihi.emulator import Lookup
from mep_hw.loihi.network import Population
from mep_hw.model import Model


class Numbers(ABC):
    """How one model's numbers look on the chip."""

    def __init__(self, model: Model) -> None:
        self.activations = [layer.activation for layer in model.layers]

    @abstractmethod
    def sent(self, inputs: Tensor) -> Tensor:
        """Inputs (batch, *input_shape) as they are sent."""

    @abstractmethod
    def targets(self, values: Tensor) -> Tensor:
        """Targets (batch, outputs) in the format of states."""

    @abstractmethod
    def strengths(self, beta: Tensor) -> Tensor:
        """Nudging strengths (rows,)."""

    @abstractmethod
    def membrane(self, layer: int, values: Tensor) -> Tensor:
        """What units of a layer (from 0) keep when their state is `values`."""

    @abstractmethod
    def values(self, layer: int, membranes: Tensor) -> Tensor:
        """States of a layer (from 0)."""


class Floating(Numbers):
    """Nothing is rounded."""

    def sent(self, inputs: Tensor) -> Tensor:
        return inputs.to(torch.float64)

    def targets(self, values: Tensor) -> Tensor:
        return values.to(torch.float64)

    def strengths(self, beta: Tensor) -> Tensor:
        return beta.to(torch.float64)

    def membrane(self, layer: int, values: Tensor) -> Tensor:
        return inverse(self.activations[layer], values.to(torch.float64))

    def values(self, layer: int, membranes: Tensor) -> Tensor:
        activation = self.activations[layer]
        return membranes if activation is None or isinstance(activation, Box) else activation.rho(membranes)


class Whole(Numbers):
    """The formats of a card; what does not fit is refused, but for states, which saturate as registers do."""

    def __init__(self, model: Model, units: Sequence[Population], options: LoihiOptions, name: str) -> None:
        super().__init__(model)
        self.options, self.name, self.units = options, name, units
        self.lookups = [None if unit.curve is None else Lookup(unit.curve) for unit in units]
        self.one = 2.0**options.state_fraction

    def sent(self, inputs: Tensor) -> Tensor:
        """Raises CapabilityError for an input beyond the format of what is sent."""
        fraction, limit = self.options.payload_fraction, 2 ** (self.options.payload_bits - 1)
        whole = (inputs.to(torch.float64) * 2.0**fraction + 0.5).floor_()
        if len(whole) and not (-limit <= float(whole.min()) and float(whole.max()) < limit):
            raise CapabilityError(
                f"backend {self.name}", "inputs", float(inputs.abs().max()),
                rule=f"must be within {-limit / 2**fraction:g} and {(limit - 1) / 2**fraction:g} to be sent as spikes",
                fix="scale the data, or take more loihi.payload_bits",
            )  # fmt: skip
        return whole

    def targets(self, values: Tensor) -> Tensor:
        """Raises CapabilityError for a target beyond the format of states."""
        whole, limit = self._held(values), 2 ** (self.options.state_bits - 1)
        if len(whole) and not float(whole.abs().max()) < limit:
            rule, fix = f"must be below {limit / self.one:g} to fit the format of states", "scale the targets"
            raise CapabilityError(f"backend {self.name}", "target", float(values.abs().max()), rule=rule, fix=fix)
        return whole

    def strengths(self, beta: Tensor) -> Tensor:
        """Raises CapabilityError for strengths that are no whole multiple of the format's unit."""
        fraction = self.options.beta_fraction
        whole = beta.to(torch.float64) * 2**fraction
        if bool((whole != whole.round()).any()):
            largest = float(whole.abs().max()) / 2**fraction
            nearest = max(1, round(largest * 2**fraction)) / 2**fraction
            raise CapabilityError(
                f"backend {self.name}", "beta", f"{largest:g}",
                rule=f"must be a whole multiple of {2.0**-fraction:g}, the unit of strengths here",
                fix=f"take {nearest:g}, or more loihi.beta_fraction",
            )  # fmt: skip
        return whole

    def membrane(self, layer: int, values: Tensor) -> Tensor:
        unit = self.units[layer]
        whole = self._held(inverse(self.activations[layer], values.to(torch.float64)))
        return whole.clamp_(unit.low, unit.high)

    def values(self, layer: int, membranes: Tensor) -> Tensor:
        lookup = self.lookups[layer]
        return (membranes if lookup is None else lookup(membranes)) * (1 / self.one)

    def _held(self, values: Tensor) -> Tensor:
        return (values.to(torch.float64) * self.one + 0.5).floor_()


def inverse(activation: Activation | None, values: Tensor) -> Tensor:
    """The membranes of states: rho^-1 of smooth units, of others the state itself."""
    return values if activation is None or isinstance(activation, Box) else activation.inverse(values)
