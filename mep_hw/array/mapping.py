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
from mep_hw.cards.schema import DeviceCard
from mep_hw.errors import CapabilityError, InputError


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
