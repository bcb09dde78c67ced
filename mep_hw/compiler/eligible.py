"""Which of a card's write modes a device can execute on it."""

from __future__ import annotations

from mep_hw.array.mapping import needs_a_look, takes_pulses
from mep_hw.cards.schema import BackendCard, DeviceCard, WriteMode
from mep_hw.errors import ScheduleError


def eligible(backend: BackendCard, device: DeviceCard | None) -> tuple[WriteMode, ...]:
    """The modes in the card's order; `cell` alone where the card has it and writes without a look are too uncertain.

    Raises:
        ScheduleError: there is none.
    """
    modes, array = backend.write_modes, backend.array
    pulses = array is not None and device is not None and takes_pulses(array, device)
    if "cell" in modes and array is not None and device is not None and needs_a_look(array, device):
        return ("cell",)
    found: tuple[WriteMode, ...] = tuple(mode for mode in modes if mode in ("exact", "cell") or pulses)
    if not found:
        cells = "no device" if device is None else device.name
        raise ScheduleError(
            f"backend {backend.name}", "write_modes", ", ".join(modes),
            rule=f"holds no mode that {cells} can execute", fix="add cell, which every device can execute",
        )  # fmt: skip
    return found
