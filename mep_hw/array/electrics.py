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
    """Seconds, volts, siemens, pulses, joules; None: unknown.

    gated: cells are written through a gate or an electrolyte, at `pulse_j` a pulse.
    low, high: weights of a cell that g_min and g_max stand for.
    assumed: what of it no device card knows, a line each.
    """

    pulse_width: float | None
    voltage_up: float | None
    voltage_down: float | None
    g_min: float | None
    g_max: float | None
    endurance: float | None
    gated: bool
    pulse_j: float | None
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

    def pulse_energy(self, weights: Tensor) -> tuple[Tensor, tuple[float, float]] | None:
        """What cells that hold `weights` (float32) take of a pulse, and joules per unit of it up and down; None: not
        known."""
        if self.gated:
            return None if self.pulse_j is None else (torch.ones_like(weights), (self.pulse_j, self.pulse_j))
        if self.pulse_width is None or self.voltage_up is None or self.voltage_down is None or not self.conducts:
            return None
        up, down = (self.pulse_width * volt**2 for volt in (self.voltage_up, self.voltage_down))
        return self.conductance(weights), (up, down)

    @property
    def unknown(self) -> tuple[str, ...]:
        """What neither card knows, by its field."""
        here = [f"electrical.{n}" for n in NAMES if getattr(self, n) is None and (n != "pulse_j" or self.gated)]
        return (*here, *(f"circuit.{n}" for n, value in self.circuit.model_dump().items() if value is None))

    def conductance(self, weights: Tensor) -> Tensor:
        """Siemens, float32, for cells that hold `weights`; only where `conducts`."""
        assert self.g_min is not None and self.g_max is not None and self.low is not None and self.high is not None
        share = ((weights.to(torch.float32) - self.low) / (self.high - self.low)).clamp_(0, 1)
        return share.mul_(self.g_max - self.g_min).add_(self.g_min)


NAMES = tuple(f.name for f in fields(Electrics) if f.name in Electrical.model_fields)
_RANGE = ("g_min", "g_max")  # ends of different cells make no range


def assumptions(options: ArrayOptions, device: DeviceCard) -> dict[str, Quantity]:
    """The numbers that the machine's card assumes because the device does not know them."""
    if options.assumed is None:
        return {}
    own = device.electrical
    given_range = None not in (options.assumed.g_min.value, options.assumed.g_max.value)
    half_known = None in (own.g_min.value, own.g_max.value)
    found: dict[str, Quantity] = {}
    for name in NAMES:
        mine: Quantity | None = getattr(own, name)
        if name == "pulse_j" and mine is None:
            continue  # not written through a gate
        given: Quantity | None = getattr(options.assumed, name)
        wanted = given_range and half_known if name in _RANGE else mine is None or mine.value is None
        if wanted and given is not None and given.value is not None:
            found[name] = given
    return found


def electrics(options: ArrayOptions, device: DeviceCard) -> Electrics:
    """What is known of cells of `device` in such an array."""
    numbers: dict[str, float | None] = {}
    taken = assumptions(options, device)
    for name in NAMES:
        number: Quantity | None = taken.get(name, getattr(device.electrical, name))
        numbers[name] = None if number is None else number.value
    assumed = (f"{name} = {number.value:g} {number.unit} ({number.source})" for name, number in taken.items())
    gated = device.electrical.pulse_j is not None
    low, high = device.w_min.value, device.w_max.value
    circuit = Circuit() if options.circuit is None else options.circuit
    guessed = (f"circuit.{name} = {getattr(circuit, name):g}" for name in circuit.unsourced)
    return Electrics(**numbers, gated=gated, low=low, high=high, circuit=circuit, assumed=(*assumed, *guessed))
