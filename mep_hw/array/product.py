"""What one product of states with weights costs: one forward read of one array, or of both arrays of a pair.

    time    n read_s
    dac     n k rows dac_j
    cells   n k V^2 drive_s activity (sum of the conductances of all cells)
    lines   n k C V^2 for every driven line, C = line_f per line that it crosses
    adc     n k cols adc_j
    overhead  n k overhead_j

with n = reads_per_product, k = the slices of a weight, which have their own converters and are read at once, and V =
read_v. The currents of a pair are subtracted before the converter, and both arrays are driven from one converter, so a
pair has one DAC a row and one ADC a column; a reference bit line has cells and no converter. Weights are taken to be
spread evenly over the range of a cell, which is half way between g_min and g_max in the mean; the other cell of a pair
holds the opposite where cells hold both signs, else g_min.

Such sums of parts are the usual estimate, as in Marinella et al., IEEE JETCAS 8, 86 (2018). Where it stops being valid:
losses along wires (cells then draw less), leakage and clocks between reads, numbers moved between arrays, work of a
host; reads of the two signs one after the other drive only some lines at a time, and count here as full ones. It is as
good as its converters: where `adc_j` is an assumption, so is the sum.
"""

from __future__ import annotations

from dataclasses import dataclass

from mep_hw.array.electrics import assumptions
from mep_hw.array.layout import spare
from mep_hw.array.scale import pairing_of, two_sided
from mep_hw.cards.array import ArrayOptions
from mep_hw.cards.circuit import Circuit
from mep_hw.cards.physics import Electrical
from mep_hw.cards.schema import BackendCard, DeviceCard
from mep_hw.errors import CapabilityError, InputError
from mep_hw.schedule.cost import Cost

# What no card says, so that every figure rests on it.
_EVEN_WEIGHTS = "weights are spread evenly over the range of a cell"
# What of `array.circuit` a product needs; the rest is for writing.
_NEEDED = "read_s", "drive_s", "read_v", "line_f", "dac_j", "adc_j", "overhead_j", "activity", "reads_per_product"


@dataclass(frozen=True)
class ProductCost:
    """What one product costs; None: not known.

    time_s: seconds.
    parts: joules of `dac`, `cells`, `lines`, `adc` and `overhead`.
    energy_j: their sum, in joules.
    assumptions: what the figures rest on that has no source, one a line.
    reads: of the array, one after the other.
    """

    time_s: float | None
    parts: dict[str, float | None]
    energy_j: float | None
    assumptions: tuple[str, ...]
    reads: int

    @property
    def cost(self) -> Cost:
        """As the cost of a schedule, to be added to others: reads neither pulse nor wear cells."""
        return Cost(self.time_s, self.energy_j, 0, 0, 0, 0, self.reads, 0.0)


def product_cost(backend: BackendCard, device: DeviceCard | None, rows: int, cols: int) -> ProductCost:
    """Time and energy of one forward product with `rows` driven and `cols` sensed lines of one array.

    Args:
        device: the cells; None: those that `array.assumed` describes.
        rows, cols: lines that hold weights, without a reference.

    Raises:
        CapabilityError: the backend has no array, or its array leaves the pairing to a device that is not given.
        InputError: more lines than the array has, or none.
    """
    array = backend.array
    if array is None:
        fix = "take a backend whose card has an array"
        raise CapabilityError(f"backend {backend.name}", "array", "null", rule="has no products to read", fix=fix)
    pairing = _pairing(array, device)
    pair, lost = pairing == "differential", spare(pairing)
    for name, lines, most in (("rows", rows, array.rows - lost), ("cols", cols, array.cols - lost)):
        if not 1 <= lines <= most:
            raise InputError(
                "product_cost", name, lines, rule=f"must be 1 to {most}, the lines of one array of {backend.name}",
                fix="count the products of a larger coupling array by array",
            )  # fmt: skip
    circuit = array.circuit or Circuit()
    siemens, grounds = _siemens(array, device, rows, cols, pair)
    reads = circuit.reads_per_product
    lines = (2 if pair else 1) * rows * (cols + lost)  # crossings of all driven lines
    volts, times = circuit.read_v, reads * array.slices
    parts = {
        "dac": _times(times * rows, circuit.dac_j),
        "cells": _times(times * circuit.activity, volts, volts, circuit.drive_s, siemens),
        "lines": _times(times * lines, volts, volts, circuit.line_f),
        "adc": _times(times * cols, circuit.adc_j),
        "overhead": _times(times, circuit.overhead_j),
    }
    known = [joules for joules in parts.values() if joules is not None]
    return ProductCost(
        time_s=_times(reads, circuit.read_s),
        parts=parts,
        energy_j=sum(known) if len(known) == len(parts) else None,
        assumptions=(_EVEN_WEIGHTS, *grounds, *_unsourced(circuit)),
        reads=reads,
    )


def _pairing(array: ArrayOptions, device: DeviceCard | None) -> str:
    if device is not None:
        return pairing_of(array, device)
    if array.pairing == "device":
        raise CapabilityError(
            "product_cost", "device", None, rule="must be given, as array.pairing is left to the device",
            fix="give a device card, or set array.pairing",
        )  # fmt: skip
    return array.pairing


def _siemens(
    array: ArrayOptions, device: DeviceCard | None, rows: int, cols: int, pair: bool
) -> tuple[float | None, tuple[str, ...]]:
    """The conductances of all cells together, in siemens or None, and the assumptions behind their range."""
    if device is None or "g_min" in assumptions(array, device):
        owner, electrical = "array.assumed", array.assumed
    else:
        owner, electrical = f"device {device.name}", device.electrical
    if electrical is None or electrical.g_min.value is None or electrical.g_max.value is None:
        return None, ()
    middle = (electrical.g_min.value + electrical.g_max.value) / 2
    other = middle if device is not None and two_sided(device) else electrical.g_min.value
    total = rows * cols * (middle + other) if pair else rows * (cols + 1) * middle
    return total, _assumed(owner, electrical)


def _assumed(owner: str, electrical: Electrical) -> tuple[str, ...]:
    ends = {"g_min": electrical.g_min, "g_max": electrical.g_max}
    return tuple(
        f"{owner}: {name} = {end.value:g} {end.unit}: {end.source}"
        for name, end in ends.items()
        if end.source.startswith("assumed")
    )


def _unsourced(circuit: Circuit) -> tuple[str, ...]:
    return tuple(f"array.circuit: {name} = {getattr(circuit, name):g}" for name in _NEEDED if name in circuit.unsourced)


def _times(count: float, *factors: float | None) -> float | None:
    """The product, or None where a factor is not known."""
    product = count
    for factor in factors:
        if factor is None:
            return None
        product *= factor
    return product
