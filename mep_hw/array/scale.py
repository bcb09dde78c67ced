"""Between the weights of a coupling and those of cells: what a cell of weight 1 stands for, and how signs are held.

A weight is held by one cell less a reference, scale * c, or by a pair: scale * (c+ - c-) of cells that hold one sign
only, scale * (c+ - c-) / 2 of others. The scale is the card's, or less where chance or coarse steps ask for it. From
here follows what can be asked of such cells at all: pulses, ranges, tolerances.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from mep_hw.cards.array import ArrayOptions
from mep_hw.cards.response import Pulsed, Table
from mep_hw.cards.schema import BackendCard, DeviceCard
from mep_hw.cells.traits import amount, stuck_noise, write_noise
from mep_hw.errors import CapabilityError


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
    """Lowest and highest weight of the model that cells of nominal bounds, or registers, hold; None: no such bound."""
    if backend.registers is not None:
        return backend.registers.low, backend.registers.high
    if device is None:
        return None, None
    options, low, high = backend.array, device.w_min.value, device.w_max.value
    if options is None:
        return low, high
    if pairing_of(options, device) == "differential":
        width = None if low is None or high is None else high - low
        low, high = (None, None) if width is None else (-width, width)
    reach = unit_of(options, device) * sum(options.slice_base**-k for k in range(options.slices))
    return (None if low is None else reach * low), (None if high is None else reach * high)


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
    joined, unit = held[0] - held[1] if len(held) == 2 else held[0], unit_of(options, device)
    return joined if unit == 1 else unit * joined


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
