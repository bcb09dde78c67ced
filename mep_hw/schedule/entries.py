"""Schedules as a header of plain values and an array for every tensor, and back, with everything checked on the way.

An array is named by its place: `intended`, `left.right`, `cycles.0.words`. The classes here are the header, as pydantic
reads it from JSON; what they do not hold is in the arrays.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from mep_hw.cards.blocks import Block
from mep_hw.outersum import OuterSum, Update
from mep_hw.schedule.ir import Along, Cell, Cycle, Hold, Outer, Read, Refresh, Registers, Row, Schedule, Transfer
from mep_hw.schedule.npz import Entries, array

Arrays = dict[str, NDArray[Any]]
NOT_NEGATIVE = Annotated[float, Field(ge=0)]
COUNT = Annotated[int, Field(ge=1)]


class DenseEntry(Block):
    kind: Literal["dense"]


class FactorsEntry(Block):
    kind: Literal["factors"]
    scale: float


UpdateEntry = Annotated[DenseEntry | FactorsEntry, Field(discriminator="kind")]


class RegistersEntry(Block):
    kind: Literal["registers"]
    change: UpdateEntry


class OuterEntry(Block):
    kind: Literal["outer"]
    lengths: tuple[COUNT, ...]


class RowEntry(Block):
    kind: Literal["row"]
    along: Along


class VerifyEntry(Block):
    kind: Literal["cell", "refresh"]
    tolerance: NOT_NEGATIVE
    iterations: COUNT


class ReadEntry(Block):
    kind: Literal["read"]
    basis: bool
    reads: COUNT


class TransferEntry(Block):
    kind: Literal["transfer"]
    lines: COUNT


class HoldEntry(Block):
    kind: Literal["hold"]
    seconds: NOT_NEGATIVE


CycleEntry = Annotated[
    RegistersEntry | OuterEntry | RowEntry | VerifyEntry | ReadEntry | TransferEntry | HoldEntry,
    Field(discriminator="kind"),
]


class ScheduleEntry(Block):
    intended: UpdateEntry
    left: UpdateEntry | None
    carried: NOT_NEGATIVE
    cycles: tuple[CycleEntry, ...]


def pack(schedule: Schedule, arrays: Arrays) -> dict[str, object]:
    """The header of a schedule; its tensors go into `arrays`.

    Raises:
        ScheduleError: a tensor of numbers that files do not hold.
    """
    return {
        "intended": _pack_update(schedule.intended, "intended", arrays),
        "left": None if schedule.left is None else _pack_update(schedule.left, "left", arrays),
        "carried": schedule.carried,
        "cycles": [_pack_cycle(cycle, f"cycles.{n}", arrays) for n, cycle in enumerate(schedule.cycles)],
    }


def unpack(entry: ScheduleEntry, entries: Entries) -> Schedule:
    """The schedule again.

    Raises:
        ScheduleError: an array is missing or does not belong to weights of the shape of `intended`.
    """
    intended = _update(entry.intended, "intended", entries)
    size = _size(intended)
    left = None if entry.left is None else _sized(entry.left, "left", entries, size)
    cycles = tuple(_cycle(cycle, f"cycles.{n}", entries, size) for n, cycle in enumerate(entry.cycles))
    return Schedule(cycles, intended, left, entry.carried)


def _pack_update(update: Update, name: str, arrays: Arrays) -> dict[str, object]:
    if isinstance(update, OuterSum):
        _put(arrays, {f"{name}.left": update.left, f"{name}.right": update.right})
        return {"kind": "factors", "scale": update.scale}
    _put(arrays, {name: update})
    return {"kind": "dense"}


def _pack_cycle(cycle: Cycle, name: str, arrays: Arrays) -> dict[str, object]:
    match cycle:
        case Registers(change):
            return {"kind": "registers", "change": _pack_update(change, f"{name}.change", arrays)}
        case Outer(words, bits, lengths):
            _put(arrays, {f"{name}.words": words, f"{name}.bits": bits})
            return {"kind": "outer", "lengths": lengths}
        case Row(pulses, along):
            _put(arrays, {f"{name}.pulses": pulses})
            return {"kind": "row", "along": along}
        case Cell(change, tolerance, iterations):
            _put(arrays, {f"{name}.change": change})
            return {"kind": "cell", "tolerance": tolerance, "iterations": iterations}
        case Refresh(tolerance, iterations):
            return {"kind": "refresh", "tolerance": tolerance, "iterations": iterations}
        case Read(basis, reads):
            if basis is not None:
                _put(arrays, {f"{name}.basis": basis})
            return {"kind": "read", "basis": basis is not None, "reads": reads}
        case Transfer(lines):
            return {"kind": "transfer", "lines": lines}
        case Hold(seconds):
            return {"kind": "hold", "seconds": seconds}


def _put(arrays: Arrays, tensors: dict[str, Tensor]) -> None:
    arrays.update({name: array(name, tensor) for name, tensor in tensors.items()})


def _update(entry: DenseEntry | FactorsEntry, name: str, entries: Entries) -> Update:
    if isinstance(entry, DenseEntry):
        return entries.take(name)
    left, right = (entries.take(f"{name}.{side}", dims=2) for side in ("left", "right"))
    if left.shape[1] != right.shape[1] or left.dtype != right.dtype:
        shown = f"{tuple(left.shape)} {left.dtype}, {tuple(right.shape)} {right.dtype}"
        rule, fix = "must be (out, r) and (in, r) in one number format", "give both sides the same columns"
        raise entries.wrong(f"shapes of {name}", shown.replace("torch.", ""), rule, fix)
    return OuterSum(left, right, entry.scale)


def _sized(entry: DenseEntry | FactorsEntry, name: str, entries: Entries, size: tuple[int, int]) -> Update:
    update = _update(entry, name, entries)
    _require(entries, name, _size(update), [size])
    return update


def _cycle(entry: Any, name: str, entries: Entries, size: tuple[int, int]) -> Cycle:
    out, width = size
    match entry:
        case RegistersEntry():
            return Registers(_sized(entry.change, f"{name}.change", entries, size))
        case OuterEntry():
            words, bits = (entries.take(f"{name}.{side}", (torch.int8,), dims=2) for side in ("words", "bits"))
            slots = sum(entry.lengths)
            _require(entries, f"{name}.words", words.shape, [(slots, width)])
            _require(entries, f"{name}.bits", bits.shape, [(slots, out)])
            _signs(entries, {f"{name}.words": words, f"{name}.bits": bits})
            return Outer(words, bits, entry.lengths)
        case RowEntry():
            pulses = entries.take(f"{name}.pulses", (torch.int32,), dims=2)
            _require(entries, f"{name}.pulses", pulses.shape, [size])
            return Row(pulses, entry.along)
        case VerifyEntry(kind="cell"):
            change = entries.take(f"{name}.change")
            _require(entries, f"{name}.change", _size(change), [size])
            return Cell(change, entry.tolerance, entry.iterations)
        case VerifyEntry():
            return Refresh(entry.tolerance, entry.iterations)
        case ReadEntry():
            basis = entries.take(f"{name}.basis", dims=2) if entry.basis else None
            if basis is not None:
                _require(entries, f"{name}.basis", basis.shape, [(out, k) for k in range(1, out + 1)])
            return Read(basis, entry.reads)
        case TransferEntry():
            return Transfer(entry.lines)
        case _:
            return Hold(entry.seconds)


def _size(update: Update) -> tuple[int, int]:
    """(out, in) of weights, (out, in k k) of those of convolutions."""
    return update.shape[0], math.prod(update.shape[1:])


def _require(entries: Entries, name: str, shape: Iterable[int], allowed: list[tuple[int, int]]) -> None:
    if tuple(shape) not in allowed:
        rule = f"must be {allowed[0]}, as the other entries say"
        raise entries.wrong(f"shape of {name}", tuple(shape), rule, "write the schedule again")


def _signs(entries: Entries, trains: dict[str, Tensor]) -> None:
    for name, train in trains.items():
        if train.numel() and (int(train.amin()) < -1 or int(train.amax()) > 1):
            raise entries.wrong(name, int(train.abs().amax()), "must be -1, 0 or 1", "write the schedule again")
