"""The compiler: an update and what is still owed from earlier ones become a schedule for one machine.

A machine whose card lists the write mode `exact` executes any update as one register write, so nothing is left over.
"""

from __future__ import annotations

from mep_hw.cards.schema import BackendCard, DeviceCard
from mep_hw.errors import ScheduleError
from mep_hw.outersum import OuterSum, Update
from mep_hw.schedule.cost import Cost
from mep_hw.schedule.ir import Registers, Schedule


def compile(update: Update, residual: Update | None, backend: BackendCard, device: DeviceCard | None) -> Schedule:
    """The schedule that realises `update` plus `residual` (None: nothing is owed) on `backend`.

    Raises:
        ScheduleError: the card lists no write mode that this compiler knows.
    """
    if "exact" not in backend.write_modes:
        raise ScheduleError(
            f"backend {backend.name}", "write_modes", ", ".join(backend.write_modes),
            rule="holds no mode that this version can compile for", fix="use a card with write mode exact",
        )  # fmt: skip
    total = update if residual is None else _add(update, residual)
    return Schedule((Registers(total),), total)


def predict(schedule: Schedule, backend: BackendCard, device: DeviceCard | None) -> Cost:
    """Cost before execution. A register write is one cycle; no card describes its host, so the rest is unknown."""
    return Cost(cycles=len(schedule.cycles))


def _add(update: Update, residual: Update) -> Update:
    base = residual.dense() if isinstance(residual, OuterSum) else residual
    return update.add_to(base) if isinstance(update, OuterSum) else update + base
