"""Which of a card's write modes a device can execute on it."""

from __future__ import annotations

from mep_hw.array.mapping import needs_a_look, takes_pulses
from mep_hw.cards.schema import BackendCard, DeviceCard, WriteMode
from mep_hw.errors import ScheduleError


def eligible(backend: BackendCard, device: DeviceCard | None) -> tuple[WriteMode, ...]:
    """The modes in the card's order; `cell` alone where writes without a look are too uncertain, or weights are spread
    over several arrays.

    Raises:
        ScheduleError: there is none.
    """
    modes, array = backend.write_modes, backend.array
    if array is not None and array.slices > 1:
        if "cell" in modes:
            return ("cell",)
        raise ScheduleError(
            f"backend {backend.name}", "array.slices", array.slices,
            rule=f"takes write mode cell, and write_modes hold {', '.join(modes)}",
            fix="add cell to write_modes, or set slices to 1",
        )  # fmt: skip
    pulses = array is not None and device is not None and takes_pulses(array, device)
    if "cell" in modes and array is not None and device is not None and needs_a_look(array, device):
        return ("cell",)
    possible = ("exact", "cell", "outer", "row") if pulses else ("exact", "cell")
    found: tuple[WriteMode, ...] = tuple(mode for mode in modes if mode in possible)
    if not found:
        cells = "no device" if device is None else device.name
        raise ScheduleError(
            f"backend {backend.name}", "write_modes", ", ".join(modes),
            rule=f"holds no mode that {cells} can execute", fix="add cell, which every device can execute",
        )  # fmt: skip
    return found
