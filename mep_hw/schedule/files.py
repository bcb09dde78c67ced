"""Schedules as files: what was compiled once can be looked at, kept, and executed elsewhere, pulse for pulse.

An npz file (`mep_hw.schedule.npz`) with an entry `header`, which is JSON, and an array for every tensor
(`mep_hw.schedule.entries`). The header names the cards that the schedule was compiled for, but does not hold them: a
card that was changed since then is not noticed, except where it changes the weight of a pulse.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, ValidationError

from mep_hw.cards.blocks import Text
from mep_hw.schedule import npz
from mep_hw.schedule.entries import Arrays, ScheduleEntry, pack, unpack
from mep_hw.schedule.ir import Schedule
from mep_hw.schedule.npz import Entries

VERSION = 1


class Header(ScheduleEntry):
    """The first entry of a file."""

    format: Literal["mep_hw schedule"]
    version: Literal[1]
    backend: Text
    device: Text | None
    scale: Annotated[float, Field(gt=0)] | None


@dataclass(frozen=True)
class Saved:
    """What a file holds.

    backend, device: names of the cards that it was compiled for.
    scale: weight of the model that a cell of weight 1 stood for; None: not said, or no cells.
    version: of the format.
    """

    schedule: Schedule
    backend: str
    device: str | None
    scale: float | None
    version: int


def save(schedule: Schedule, path: str | Path, *, backend: str, device: str | None, scale: float | None = None) -> None:
    """Write a schedule with the names of its cards; `scale` as of `Saved`. The file is whole or not there.

    Raises:
        ScheduleError: it is one that could not be read again, as with NaN or shapes that contradict each other.
        InputError: the folder does not exist or cannot be written to.
    """
    arrays: Arrays = {}
    header = {"format": "mep_hw schedule", "version": VERSION, "backend": backend, "device": device, "scale": scale}
    arrays["header"] = np.array(json.dumps(header | pack(schedule, arrays)))
    _read(Entries("schedule", arrays))
    npz.write(path, arrays)


def load(path: str | Path) -> Saved:
    """Read a schedule; its tensors are in main memory.

    Raises:
        ScheduleError: the file is missing, broken, of another format or version, or contradicts itself.
    """
    return _read(npz.read(path))


def _read(entries: Entries) -> Saved:
    try:
        header = Header.model_validate_json(entries.text("header"))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(["header", *map(str, first["loc"])])
        message = first["msg"][:1].lower() + first["msg"][1:]
        raise entries.wrong(field, None, message, "write the file with mep_hw.schedule.files.save") from None
    schedule = unpack(header, entries)
    entries.finish()
    return Saved(schedule, header.backend, header.device, header.scale, header.version)
