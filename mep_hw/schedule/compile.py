"""The compiler: an update and what is still owed from earlier ones become a schedule for one machine.

The form is fixed: the first of the card's write modes that the device can execute. Trains of `outer` realise an update
in the mean; `row` rounds it to whole pulses and leaves the rest to be carried; `cell` writes and verifies; `exact` is a
register write that leaves nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mep_hw.array.mapping import needs_a_look, pairing_of, scale_of
from mep_hw.array.verify import WRITE_NOISES
from mep_hw.cards.schema import BackendCard, DeviceCard, WriteMode
from mep_hw.cells.traits import amount, write_noise
from mep_hw.errors import ScheduleError
from mep_hw.outersum import OuterSum, Update, checksum, dense
from mep_hw.schedule.cost import Cost
from mep_hw.schedule.ir import Cell, Cycle, Outer, Registers, Row, Schedule
from mep_hw.schedule.trains import check_pulses, outer

PHASES = 4  # a slot of Outer is executed once for each pair of polarities of word and bit lines


def compile(
    update: Update,
    residual: Update | None,
    backend: BackendCard,
    device: DeviceCard | None,
    generator: torch.Generator | None = None,
    local: bool = False,
) -> Schedule:
    """The schedule that realises `update` plus `residual` (None: nothing is owed) on `backend`.

    Args:
        backend: as it is for one coupling, see `Substrate.card_of`.
        generator: of stochastic trains; None makes deterministic ones.
        local: pulse the outer products of the update as they are, wherever card and device allow it.

    Raises:
        ScheduleError: no write mode of the card is one that the device can execute, or the update is not finite.
    """
    total = update if residual is None else _add(update, residual)
    pulsed = local and "outer" in backend.write_modes and takes_pulses(device)
    mode = "outer" if pulsed else write_mode(backend, device)
    if mode == "exact":
        return Schedule((Registers(total),), total)
    if not bool(checksum(total).isfinite()):
        raise ScheduleError("update", "weights", "nan", rule="must be finite", fix="lower lr or beta")
    assert backend.array is not None  # cards with other modes have one
    writing = backend.array.writing
    if mode == "cell":
        chance = 0.0 if device is None else max(WRITE_NOISES * write_noise(device), amount(device.dw_min))
        carried = writing.tolerance + (0.0 if device is None else chance * scale_of(backend.array, device))
        return Schedule((Cell(dense(total), writing.tolerance, writing.iterations),), total, carried=carried)
    step = pulse_step(backend, device)
    if mode == "outer":
        random = generator if writing.trains == "stochastic" else None
        return Schedule((outer(total, step, random),), total)
    change = dense(total)
    pulses = (change / step).round()
    check_pulses(float(pulses.abs().max()))
    intended = pulses * step
    return Schedule((Row(pulses.flatten(1).int()),), intended, change - intended)


def registers(update: Update) -> Schedule:
    """One register write: what biases get, which no machine of today holds in cells."""
    return Schedule((Registers(update),), update)


def write_mode(backend: BackendCard, device: DeviceCard | None) -> WriteMode:
    """The first write mode of the card that the device can execute; `cell` where writes need a look.

    Raises:
        ScheduleError: there is none.
    """
    modes = backend.write_modes
    if "cell" in modes and backend.array is not None and device is not None and needs_a_look(backend.array, device):
        return "cell"
    for mode in modes:
        if mode in ("exact", "cell") or (mode in ("outer", "row") and takes_pulses(device)):
            return mode
    cells = "no device" if device is None else device.name
    raise ScheduleError(
        f"backend {backend.name}", "write_modes", ", ".join(backend.write_modes),
        rule=f"holds no mode that {cells} can execute", fix="add cell, which every device can execute",
    )  # fmt: skip


def takes_pulses(device: DeviceCard | None) -> bool:
    """Whether the cells know pulses in both directions around weight 0."""
    if device is None or device.dw_min.value is None or device.w_min.value is None:
        return False
    return device.w_min.value < 0


def pulse_step(backend: BackendCard, device: DeviceCard | None) -> float:
    """Change of the model's weight by one pulse on a cell in the middle of its range."""
    assert backend.array is not None and device is not None and device.dw_min.value is not None
    return scale_of(backend.array, device) * device.dw_min.value


def predict(schedule: Schedule, backend: BackendCard, device: DeviceCard | None) -> Cost:
    """Cost before execution: cycles, slots and pulses where they are known, the sum over all cycles."""
    costs = [predict_cycle(cycle, backend, device) for cycle in schedule.cycles]
    return sum(costs[1:], costs[0]) if costs else Cost.none()


def predict_cycle(cycle: Cycle, backend: BackendCard, device: DeviceCard | None) -> Cost:
    """The same for one cycle."""
    if isinstance(cycle, Registers):
        return Cost(cycles=1, slots=0, pulses=0)  # no card describes its host, so time and energy are unknown
    if not isinstance(cycle, Outer | Row):
        return Cost()  # how many rounds verifying takes depends on the cells
    if isinstance(cycle, Outer):
        slots, cycles = PHASES * len(cycle.words), PHASES * cycle.cycles
        words, bits = (side.abs().sum(1, dtype=torch.int32).long() for side in (cycle.words, cycle.bits))
        pulses = int((words * bits).sum())
    else:
        up, down = (side.amax(0) for side in (cycle.pulses.clamp(min=0), -cycle.pulses.clamp(max=0)))
        slots, cycles = int(up.sum() + down.sum()), int((up > 0).sum() + (down > 0).sum())
        pulses = int(cycle.pulses.abs().sum())
    if backend.array is not None and device is not None and pairing_of(backend.array, device) == "differential":
        pulses *= 2  # both cells of a pair
    return Cost(time_s=pulse_time(slots, device), cycles=cycles, slots=slots, pulses=pulses)


def pulse_time(slots: int, device: DeviceCard | None) -> float | None:
    """Seconds that so many slots take, one after the other; None where the device does not know its pulse."""
    width = None if device is None else device.electrical.pulse_width.value
    return None if width is None else slots * width


def _add(update: Update, residual: Update) -> Tensor:
    base = dense(residual)
    return update.add_to(base.flatten(1)).view_as(base) if isinstance(update, OuterSum) else update + base
