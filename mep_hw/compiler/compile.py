"""The compiler: an update and what is still owed from earlier ones become a schedule for one machine.

add the residual  ->  choose the form  ->  directions, rounding or targets  ->  trains and lines  ->  look, refresh

Where updates go to a fast array, they are always outer products, and a transfer follows instead of looks.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mep_hw.array.mapping import takes_pulses
from mep_hw.cards.schema import BackendCard, DeviceCard
from mep_hw.compiler import forms
from mep_hw.compiler.choose import choose
from mep_hw.compiler.look import with_read
from mep_hw.errors import ScheduleError
from mep_hw.outersum import OuterSum, Update, checksum, dense
from mep_hw.schedule.ir import Refresh, Registers, Schedule, Transfer


def compile(
    update: Update,
    residual: Update | None,
    backend: BackendCard,
    device: DeviceCard | None,
    generator: torch.Generator | None = None,
    local: bool = False,
    *,
    read: bool = False,
    refresh: bool = False,
    transfer: int = 0,
) -> Schedule:
    """The schedule that realises `update` plus `residual` (None: nothing is owed) on `backend`.

    Args:
        backend: as it is for one coupling, see `Substrate.card_of`.
        generator: of stochastic trains and rounding; None makes deterministic ones.
        local: pulse the outer products of the update as they are, wherever card and device allow it.
        read: end with a look at what the cells hold, as the card says.
        refresh: end with writing pairs of cells anew.
        transfer: end with a transfer of so many word lines from the fast to the slow array.

    Raises:
        ScheduleError: no write mode of the card is one that the device can execute, the update is not finite or asks
            too much of a cell, or what the card wants to be minimal is not known of this device.
    """
    total = update if residual is None else add(update, residual)
    array = backend.array
    if array is None or device is None:
        schedule = choose(total, backend, device, generator)
    else:
        finite(total)
        plain = local or array.transfer is not None
        pulsed = plain and "outer" in backend.write_modes and takes_pulses(array, device)
        schedule = forms.local(total, array, device, generator) if pulsed else choose(total, backend, device, generator)
        if refresh:
            again = Refresh(array.writing.tolerance, array.writing.iterations)
            schedule = Schedule((*schedule.cycles, again), schedule.intended, schedule.left, schedule.carried)
        if read:
            schedule = with_read(schedule, array)
    return replace(schedule, cycles=(*schedule.cycles, Transfer(transfer))) if transfer else schedule


def registers(update: Update) -> Schedule:
    """One register write: what biases get, which no machine of today holds in cells."""
    return Schedule((Registers(update),), update)


def finite(update: Update) -> None:
    """Raises ScheduleError for NaN or infinity."""
    if not bool(checksum(update).isfinite()):
        raise ScheduleError("update", "weights", "nan", rule="must be finite", fix="lower lr or beta")


def add(update: Update, residual: Update) -> Tensor:
    """Their sum, in the shape of the residual."""
    base = dense(residual)
    return update.add_to(base.flatten(1)).view_as(base) if isinstance(update, OuterSum) else update + base
