"""Between the weights of a coupling and the conductances of cells.

A conductance is positive, a weight is not. Differential: w = (G+ - G-) / k, the two cells in two arrays; a weight is
written into one of them and leaves the other at g_min, which draws the least current. Reference: w = (G - G_ref) / k,
where G_ref, half way between g_min and g_max, is held by one more bit line (for forward reads) and one more word line
(for transposed ones). k is in siemens per weight; w_max is held at the ends of the range.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mep_hw.cards.array import ArrayOptions
from mep_hw.cards.response import Pulsed, Table
from mep_hw.cards.schema import BackendCard, DeviceCard
from mep_hw.cells.traits import amount, stuck_noise, write_noise
from mep_hw.errors import CapabilityError, InputError


def two_sided(device: DeviceCard) -> bool:
    """Whether one cell of this device holds weights of both signs."""
    return device.w_min.value is None or device.w_min.value < 0


def pairing_of(options: ArrayOptions, device: DeviceCard) -> Literal["differential", "reference"]:
    """How the array holds signed weights in cells of this device.

    Raises:
        CapabilityError: the array has a reference, and the cells hold one sign only.
    """
    if options.pairing == "device":
        return "reference" if two_sided(device) else "differential"
    if options.pairing == "reference" and not two_sided(device):
        raise CapabilityError(
            f"device {device.name}", "w_min", device.w_min.value,
            rule="such cells cannot hold negative weights beside a reference", fix="set array.pairing to device",
        )  # fmt: skip
    return options.pairing


def fitted(options: ArrayOptions, weights: Tensor) -> ArrayOptions:
    """The same array with its sizes in weights of the model, for a coupling that starts with these weights."""
    if options.scale_by == "weight":
        return options
    unit = float(weights.abs().max()) or 1.0  # a coupling of zeros has no size of its own
    writing = options.writing
    sizes = {"tolerance": writing.tolerance, "noise_max": writing.noise_max, "step_max": writing.step_max}
    sizes = {name: None if size is None else size * unit for name, size in sizes.items()}
    changes = {"scale": options.scale * unit, "scale_by": "weight", "writing": writing.model_copy(update=sizes)}
    return options.model_copy(update=changes)


def scale_of(options: ArrayOptions, device: DeviceCard) -> float:
    """Weight of the model that a cell of weight 1 stands for: the card's, or less where a weight would be off by too
    much by chance (what every write leaves, what stuck cells hold), or moved too far by one pulse."""
    chance, writing = math.hypot(write_noise(device), stuck_noise(device)), options.writing
    limits = (chance, writing.noise_max), (amount(device.dw_min), writing.step_max)
    return min([options.scale, *(most / size for size, most in limits if most is not None and size > 0)])


def unit_of(options: ArrayOptions, device: DeviceCard) -> float:
    """Weight of the model by which one cell of weight 1 counts, less in a pair of cells that both move."""
    pair = pairing_of(options, device) == "differential" and two_sided(device)
    return scale_of(options, device) / (2 if pair else 1)


def needs_a_look(options: ArrayOptions, device: DeviceCard) -> bool:
    """Whether one write of a cell at the card's scale leaves more noise, or moves a weight further, than the card
    wants."""
    noise, step = options.writing.noise_max, options.writing.step_max
    return (noise is not None and options.scale * write_noise(device) > noise) or (
        step is not None and options.scale * amount(device.dw_min) > step
    )


def takes_pulses(options: ArrayOptions, device: DeviceCard) -> bool:
    """Whether weights on such an array can be pulsed up and down: by cells with a known step that hold both signs, or
    by pairs of one sign that are refreshed before both of their cells are full."""
    if device.dw_min.value is None or device.w_min.value is None or not isinstance(device.response, Pulsed | Table):
        return False
    return device.w_min.value < 0 or options.writing.refresh_every > 0


def pulse_step(options: ArrayOptions, device: DeviceCard) -> float:
    """Change of the model's weight by one pulse on a cell in the middle of its range."""
    assert device.dw_min.value is not None  # of cells that take pulses
    return scale_of(options, device) * device.dw_min.value


def weight_range(backend: BackendCard, device: DeviceCard | None) -> tuple[float | None, float | None]:
    """Lowest and highest weight of the model that cells of nominal bounds stand for; None: no such bound."""
    if device is None:
        return None, None
    scale = 1.0 if backend.array is None else scale_of(backend.array, device)
    low, high = (None if v is None else scale * v for v in (device.w_min.value, device.w_max.value))
    return (None if high is None else -high, high) if low is not None and low >= 0 else (low, high)


def in_cells(weights: Tensor, options: ArrayOptions, device: DeviceCard) -> Tensor:
    """What each cell should hold for weights (out, in) of the model, (arrays, out, in) in weights of the cell."""
    scale = scale_of(options, device)
    if pairing_of(options, device) == "reference":
        return weights[None] / scale
    if two_sided(device):
        return torch.stack([weights, -weights]) / scale
    return torch.stack([weights.clamp(min=0), (-weights).clamp(min=0)]) / scale


def from_cells(held: Tensor, options: ArrayOptions, device: DeviceCard) -> Tensor:
    """The weights (out, in) of the model that cells (arrays, out, in) stand for: the inverse of `in_cells`."""
    scale = scale_of(options, device)
    if pairing_of(options, device) == "differential":
        held = held[0] - held[1]
        scale = scale / 2 if two_sided(device) else scale
    else:
        held = held[0]
    return held if scale == 1 else scale * held


def reachable(weights: Tensor, options: ArrayOptions, device: DeviceCard) -> Tensor:
    """The same, within what such cells can hold: nobody asks a cell for more, or it would be pulsed to death."""
    low, high = device.w_min.value, device.w_max.value
    return in_cells(weights, options, device).clamp(
        -math.inf if low is None else low, math.inf if high is None else high
    )


def cell_tolerance(tolerance: float, options: ArrayOptions, device: DeviceCard) -> float:
    """That of each cell, in its own weight, for one of the model's weight; the errors of a pair add up."""
    pair = pairing_of(options, device) == "differential"
    return tolerance / (scale_of(options, device) * (2 if pair and not two_sided(device) else 1))


@dataclass(frozen=True)
class Mapping:
    """Conductance range (siemens), the weight at its end, and how signs are held.

    Raises:
        InputError: an empty or negative range of conductances, or w_max not above 0.
    """

    g_min: float
    g_max: float
    w_max: float
    pairing: Literal["differential", "reference"]

    def __post_init__(self) -> None:
        if not (0 <= self.g_min < self.g_max < math.inf):
            rule = f"must be 0 or more and below g_max = {self.g_max:g}"
            raise InputError("mapping", "g_min", self.g_min, rule=rule, fix="give the range of the device in siemens")
        if not 0 < self.w_max < math.inf:
            raise InputError("mapping", "w_max", self.w_max, rule="must be above 0", fix="1 suits most models")

    @property
    def span(self) -> float:
        """g_max - g_min, in siemens."""
        return self.g_max - self.g_min

    @property
    def siemens_per_weight(self) -> float:
        return self.span / (self.w_max if self.pairing == "differential" else 2 * self.w_max)

    @property
    def reference(self) -> float:
        """Conductance that stands for weight 0 where a reference is used, in siemens."""
        return (self.g_min + self.g_max) / 2

    def to_cells(self, weights: Tensor) -> Tensor:
        """Conductances in siemens, float64, for weights (rows, cols).

        Returns:
            (2, rows, cols), the positive and the negative array; with a reference (1, rows + 1, cols + 1), whose last
            row and column are the reference lines.

        Raises:
            InputError: a weight beyond w_max.
        """
        w = weights.detach().double()
        largest = float(w.abs().max())
        if not largest <= self.w_max * (1 + 1e-6):  # room for the rounding of float32
            rule = f"must be within w_max = {self.w_max:g}"
            raise InputError("mapping", "weight", largest, rule=rule, fix="raise w_max, or bound the weights")
        if self.pairing == "differential":
            return self.g_min + self.siemens_per_weight * torch.stack([w.clamp(min=0), (-w).clamp(min=0)])
        rows, cols = w.shape
        cells = torch.full((1, rows + 1, cols + 1), self.reference, dtype=w.dtype, device=w.device)
        cells[0, :rows, :cols] += self.siemens_per_weight * w
        return cells

    def conductances(self, held: Tensor, two_sided: bool) -> Tensor:
        """Conductances in siemens for what cells hold, in weights of the model; ordered as by `to_cells`.

        Args:
            held: (arrays, rows, cols).
            two_sided: cells hold both signs, from -w_max at g_min to w_max at g_max; else from 0 at g_min.

        Where a cell is beyond its nominal range, it has no less than no conductance.
        """
        zero, slope = (self.reference, self.span / 2) if two_sided else (self.g_min, self.span)
        shown = (zero + slope / self.w_max * held.double()).clamp(min=0)
        if self.pairing == "differential":
            return shown
        cells = shown.new_full((1, shown.shape[1] + 1, shown.shape[2] + 1), self.reference)
        cells[:, :-1, :-1] = shown
        return cells

    def forward(self, cells: Tensor) -> Tensor:
        """Weights (rows, cols) that a forward read sees, from the cells or their effective conductances."""
        if self.pairing == "differential":
            return (cells[0] - cells[1]) / self.siemens_per_weight
        return (cells[0, :-1, :-1] - cells[0, :-1, -1:]) / self.siemens_per_weight

    def transposed(self, cells: Tensor) -> Tensor:
        """Weights (cols, rows) that a transposed read sees."""
        if self.pairing == "differential":
            return self.forward(cells).T
        return ((cells[0, :-1, :-1] - cells[0, -1:, :-1]) / self.siemens_per_weight).T


def mapping_of(options: ArrayOptions, pairing: Literal["differential", "reference"], device: DeviceCard) -> Mapping:
    """Between weights and conductances, as far as the device knows its own.

    Raises:
        CapabilityError: the array has wires or noise that depend on conductances, and the device does not know them.
    """
    low, high = device.w_min.value, device.w_max.value
    reach = options.scale * max(1.0 if v is None else abs(v) for v in (low, high))
    g_min, g_max = device.electrical.g_min.value, device.electrical.g_max.value
    if g_min is None or g_max is None:
        wires, noise = options.wires, options.read_noise
        if wires.resistive or noise.relative:
            field = "read_noise.relative" if noise.relative else "wires"
            raise CapabilityError(
                f"device {device.name}", "electrical.g_max", "unknown",
                rule=f"array.{field} needs the range of conductances", fix="use a device card that knows it",
            )  # fmt: skip
        g_min, g_max = 0.0, 1.0  # only shares of the range are asked for
    return Mapping(g_min, g_max, reach, pairing)
