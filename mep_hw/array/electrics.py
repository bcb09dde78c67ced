"""The numbers behind time, energy and wear: those of the device, else those that the machine's card assumes.

Estimates of modelled hardware: every assumed number is listed, so that it can be told beside the result.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from mep_hw.cards.array import ArrayOptions
from mep_hw.cards.blocks import Quantity
from mep_hw.cards.circuit import Circuit
from mep_hw.cards.physics import Electrical
from mep_hw.cards.schema import DeviceCard


@dataclass(frozen=True)
class Electrics:
    """Seconds, volts, siemens, pulses; None: unknown.

    low, high: weights of a cell that g_min and g_max stand for.
    assumed: what of it no device card knows, a line each.
    """

    pulse_width: float | None
    voltage_up: float | None
    voltage_down: float | None
    g_min: float | None
    g_max: float | None
    endurance: float | None
    low: float | None
    high: float | None
    circuit: Circuit
    assumed: tuple[str, ...] = ()

    @property
    def slot_s(self) -> float | None:
        """From one write pulse to the next, in seconds."""
        return None if self.pulse_width is None else self.pulse_width + self.circuit.gap_s

    @property
    def conducts(self) -> bool:
        """Whether it is known which conductance a weight stands for."""
        return None not in (self.g_min, self.g_max, self.low, self.high)

    @property
    def unknown(self) -> tuple[str, ...]:
        """What neither card knows, by its field."""
        here = [f"electrical.{name}" for name in NAMES if getattr(self, name) is None]
        return (*here, *(f"circuit.{n}" for n, value in self.circuit.model_dump().items() if value is None))

    def conductance(self, weights: Tensor) -> Tensor:
        """Siemens, float32, for cells that hold `weights`; only where `conducts`."""
        assert self.g_min is not None and self.g_max is not None and self.low is not None and self.high is not None
        share = ((weights.to(torch.float32) - self.low) / (self.high - self.low)).clamp_(0, 1)
        return share.mul_(self.g_max - self.g_min).add_(self.g_min)


NAMES = tuple(f.name for f in fields(Electrics) if f.name in Electrical.model_fields)


def assumptions(options: ArrayOptions, device: DeviceCard) -> dict[str, Quantity]:
    """The numbers that the machine's card assumes because the device does not know them."""
    if options.assumed is None:
        return {}
    given: dict[str, Quantity] = {name: getattr(options.assumed, name) for name in NAMES}
    unknown = (name for name in NAMES if getattr(device.electrical, name).value is None)
    return {name: given[name] for name in unknown if given[name].value is not None}


def electrics(options: ArrayOptions, device: DeviceCard) -> Electrics:
    """What is known of cells of `device` in such an array."""
    numbers: dict[str, float | None] = {}
    assumed: list[str] = []
    taken = assumptions(options, device)
    for name in NAMES:
        number: Quantity = taken[name] if name in taken else getattr(device.electrical, name)
        if name in taken:
            assumed.append(f"{name} = {number.value:g} {number.unit} ({number.source})")
        numbers[name] = number.value
    low, high = device.w_min.value, device.w_max.value
    circuit = Circuit() if options.circuit is None else options.circuit
    return Electrics(**numbers, low=low, high=high, circuit=circuit, assumed=tuple(assumed))
