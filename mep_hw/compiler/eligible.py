"""Which of a card's write modes a device can execute on it, and why not the others."""

from __future__ import annotations

from mep_hw.array.scale import needs_a_look, takes_pulses
from mep_hw.cards.schema import BackendCard, DeviceCard, WriteMode
from mep_hw.errors import ScheduleError


def eligible(backend: BackendCard, device: DeviceCard | None) -> tuple[WriteMode, ...]:
    """The modes in the card's order; `cell` alone where the card has it and writes without a look are too uncertain.

    Raises:
        ScheduleError: there is none.
    """
    modes = backend.write_modes
    found: tuple[WriteMode, ...] = tuple(mode for mode in modes if objection(mode, backend, device) is None)
    if not found:
        cells = "no device" if device is None else device.name
        why = objection(modes[0], backend, device)
        raise ScheduleError(
            f"backend {backend.name}", "write_modes", ", ".join(modes),
            rule=f"holds no mode that {cells} can execute ({why})", fix="add cell, which every device can execute",
        )  # fmt: skip
    return found


def objection(mode: WriteMode, backend: BackendCard, device: DeviceCard | None) -> str | None:
    """Why this mode of the card is not for this device; None: it is."""
    array = backend.array
    if mode in ("exact", "cell"):
        return None
    if array is None or device is None:
        return "needs cells in an array"
    if array.slices > 1:
        return "weights over several slices are written and verified slice by slice"
    if "cell" in backend.write_modes and needs_a_look(array, device):
        return f"a write of {device.name} without a look is off by more than noise_max or step_max"
    if mode not in ("outer", "row") or not takes_pulses(array, device):
        return f"{device.name} is not pulsed both ways by known steps"
    return None
