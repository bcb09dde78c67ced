"""Energy that write pulses dissipate in ohmic cells: V^2 G t for every pulse, G by the weight the cell has before.

An estimate for two-terminal resistive cells. Not valid for cells that are written through a gate or an electrolyte
(FeFET, flash, capacitor, ECRAM), whose write current does not flow through the conductance that is read, and without
wires and drivers. A half-selected cell counts with half of the voltage, where such slots are given.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from mep_hw.cards.schema import DeviceCard


def pulse_energy(
    card: DeviceCard, weights: Callable[[], Tensor], up: Tensor, down: Tensor, half: tuple[Tensor, Tensor] | None = None
) -> float | None:
    """Joules for `up` and `down` pulses on cells that hold `weights()`, all of one shape; None where the card does not
    know voltage, width, conductance or range, and then nobody asks for the weights.

    half: slots up and down at half of the voltage, see `mep_hw.array.half_select`; None: there are none.
    """
    known = _known(card)
    if None in known:
        return None
    width, v_up, v_down, g_min, g_max, low, high = (value for value in known if value is not None)
    conductance = g_min + (g_max - g_min) * ((weights().double() - low) / (high - low)).clamp(0, 1)
    if half is not None:
        up, down = up + half[0] / 4, down + half[1] / 4
    return float((conductance * (v_up**2 * up + v_down**2 * down)).sum()) * width


def _known(card: DeviceCard) -> tuple[float | None, ...]:
    """Pulse width, both voltages, the range of conductance and that of weights."""
    e = card.electrical
    numbers = e.pulse_width, e.voltage_up, e.voltage_down, e.g_min, e.g_max, card.w_min, card.w_max
    return tuple(number.value for number in numbers)
