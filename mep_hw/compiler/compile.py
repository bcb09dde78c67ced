"""The compiler: an update and what is still owed from earlier ones become a schedule for one machine.

add the residual  ->  choose the form  ->  directions, rounding or targets  ->  trains and lines  ->  look, refresh

Where updates go to a fast array, they are always outer products, and a transfer follows instead of looks.
With a budget, forms are made one after the other, the preferred one first, until one keeps to it.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mep_hw.array.scale import takes_pulses
from mep_hw.cards.schema import BackendCard, DeviceCard, WriteMode
from mep_hw.compiler import forms
from mep_hw.compiler.budget import Budget, Figures, figures
from mep_hw.compiler.choose import choose, ranked
from mep_hw.compiler.look import with_read
from mep_hw.compiler.predict import expected
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
    budget: Budget | None = None,
    held: Tensor | None = None,
) -> Schedule:
    """The schedule that realises `update` plus `residual` (None: nothing is owed) on `backend`.

    Args:
        backend: as it is for one coupling, see `Substrate.card_of`.
        generator: of stochastic trains and rounding; None makes deterministic ones.
        local: pulse the outer products of the update as they are, wherever card and device allow it.
        read: end with a look at what the cells hold, as the card says.
        refresh: end with writing pairs of cells anew.
        transfer: end with a transfer of so many word lines from the fast to the slow array.
        budget: what the schedule may take by prediction; the next form is tried where the preferred one takes more.
        held: weights (out, in) before, on which the energy depends that a budget limits; None: all 0.

    Raises:
        ScheduleError: no write mode of the card is one that the device can execute, the update is not finite (which
            registers of plain numbers could hold: there nobody looks here) or asks too much of a cell, what the card
            wants to be minimal is not known of this device, or no form keeps to the budget; the generator is then where
            it was.
    """
    total = update if residual is None else add(update, residual)
    array = backend.array
    if array is not None or backend.registers is not None:
        finite(total)  # plain numbers are looked at by whoever makes them, all couplings at once
    pulsed = False
    if array is not None and device is not None:
        plain = local or array.transfer is not None
        pulsed = plain and array.slices == 1 and "outer" in backend.write_modes and takes_pulses(array, device)

    def compiled(card: BackendCard) -> Schedule:
        if array is None or device is None:
            return choose(total, card, device, generator)
        schedule = forms.local(total, array, device, generator) if pulsed else choose(total, card, device, generator)
        if refresh:
            again = Refresh(array.writing.tolerance, array.writing.iterations)
            schedule = replace(schedule, cycles=(*schedule.cycles, again))
        if transfer:
            schedule = replace(schedule, cycles=(*schedule.cycles, Transfer(transfer)))
        return with_read(schedule, array) if read else schedule

    if budget is None:
        return compiled(backend)
    weights = torch.zeros_like(dense(total).flatten(1)) if held is None else held.flatten(1)
    start = None if generator is None else generator.get_state()
    tried: dict[WriteMode, Figures] = {}
    for mode in ("outer",) if pulsed else ranked(total, backend, device):
        schedule = compiled(backend.model_copy(update={"write_modes": (mode,)}))
        tried[mode] = figures(expected(schedule, backend, device, weights))
        if not budget.excess(tried[mode]):
            return schedule
        if generator is not None and start is not None:
            generator.set_state(start)
    raise budget.refused(tried)


def registers(update: Update) -> Schedule:
    """One register write: what biases get, which no machine of today holds in cells."""
    return Schedule((Registers(update),), update)


def finite(update: Update) -> None:
    """Raises ScheduleError for NaN or infinity."""
    if not bool(checksum(update).isfinite()):
        raise ScheduleError("update", "weights", "nan", rule="must be finite", fix="lower lr or beta")


def add(update: Update, residual: Update) -> Tensor:
    """Their sum; a residual in the shape of a matrix takes that of a dense update."""
    base = dense(residual)
    if isinstance(update, OuterSum):
        return update.add_to(base.flatten(1)).view_as(base)
    return update + base.view_as(update)
