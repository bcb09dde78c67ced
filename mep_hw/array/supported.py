"""What the options of an array ask of the cells on it, checked before there are any.

Not here: the range of conductances (`mapping_of`), and ways of writing, which the compiler chooses.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from mep_hw.array.scale import takes_pulses, two_sided
from mep_hw.cards.array import ArrayOptions
from mep_hw.cards.schema import DeviceCard
from mep_hw.errors import CapabilityError, Notice

LINES = 128  # of one array up to which wires are solved in a fraction of a second: docs/wires.md


def tell_of_size(options: ArrayOptions, lines: Sequence[int]) -> None:
    """A `Notice` where wires are modelled on arrays of more than LINES `lines`, which are slow and lose much."""
    if options.wires.resistive and max(lines) > LINES:
        warnings.warn(
            f"array: rows, cols: arrays of more than {LINES} lines with resistive wires take seconds whenever they are "
            "solved and lose much of their currents; use smaller arrays, or raise solve_every",
            Notice, stacklevel=3,
        )  # fmt: skip


def check_writing(options: ArrayOptions, device: DeviceCard) -> None:
    """Refuse effects on pulses that cells of this device do not take, or that are known at one voltage only.

    Raises:
        CapabilityError: names option and device.
    """
    writing = options.writing
    wrong = "disturb" if writing.disturb else "drop_exponent" if writing.drop_exponent is not None else None
    if wrong is not None and not takes_pulses(options, device):
        raise CapabilityError(
            f"device {device.name}", "response.family", device.family,
            rule=f"array.writing.{wrong} is about pulses, and these cells take none in both directions",
            fix=f"leave {wrong} out, or use a device with pulses",
        )  # fmt: skip
    if writing.refresh_every and two_sided(device):
        raise CapabilityError(
            f"device {device.name}", "w_min", device.w_min.value,
            rule="array.writing.refresh_every is for pairs of cells that hold one sign, which pulses fill",
            fix="set it to 0",
        )  # fmt: skip
    if writing.drop_exponent is not None and device.family == "table":
        raise CapabilityError(
            f"device {device.name}", "response.family", device.family,
            rule="array.writing.drop_exponent scales steps, and a table is measured at one voltage",
            fix="leave drop_exponent out, or use a device with a fitted step",
        )  # fmt: skip
