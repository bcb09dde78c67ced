"""Updates as files, so that a schedule can be made of what another program computed.

An npz file with `update` (out, in), or its factors `left` (out, r), `right` (in, r) and if wanted the number `scale`.
Beside them may be `held` (out, in), the weights before, and `residual` (out, in), what is still owed from earlier
updates. All are float32 or float64, as `numpy.savez` writes them.

Not valid for convolutions: flatten their updates to (out, in k k).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from mep_hw.outersum import OuterSum, Update, dense
from mep_hw.schedule import npz
from mep_hw.schedule.entries import Arrays
from mep_hw.schedule.npz import Entries


@dataclass(frozen=True)
class SavedUpdate:
    """What a file holds; `held` and `residual` (out, in) or None."""

    update: Update
    held: Tensor | None = None
    residual: Tensor | None = None


def save_update(
    path: str | Path, update: Update, *, held: Tensor | None = None, residual: Update | None = None
) -> None:
    """Write an update (out, in), whole or not at all.

    Raises:
        ScheduleError: it is one that could not be read again, as with NaN or another shape.
        InputError: the folder does not exist or cannot be written to.
    """
    if isinstance(update, OuterSum):
        arrays: Arrays = {name: npz.array(name, getattr(update, name)) for name in ("left", "right")}
        arrays["scale"] = np.array(float(update.scale))
    else:
        arrays = {"update": npz.array("update", update)}
    for name, given in (("held", held), ("residual", residual)):
        if given is not None:
            arrays[name] = npz.array(name, dense(given))
    _read(Entries("update", arrays))
    npz.write(path, arrays)


def load_update(path: str | Path) -> SavedUpdate:
    """Read an update.

    Raises:
        ScheduleError: the file is missing or broken, or its entries contradict each other.
    """
    return _read(npz.read(path))


def save_weights(path: str | Path, held: Tensor) -> None:
    """Write weights (out, in) alone, as `held`; raises as `save_update`."""
    arrays: Arrays = {"held": npz.array("held", held)}
    _matrix(Entries("weights", arrays), "held", tuple(held.shape))
    npz.write(path, arrays)


def load_weights(path: str | Path) -> Tensor:
    """The entry `held` (out, in) of a file of weights or of an update; raises as `load_update`."""
    entries = npz.read(path)
    return entries.take("held", dims=2)


def _read(entries: Entries) -> SavedUpdate:
    if "update" in entries:
        update: Update = entries.take("update", dims=2)
    elif "left" in entries:
        update = _factors(entries)
    else:
        raise entries.wrong("update", None, "is missing", "give update (out, in), or its factors left and right")
    shape = tuple(update.shape)
    if 0 in shape:
        raise entries.wrong("shape of update", shape, "must not be empty", "give weights of at least one cell")
    held, residual = (_matrix(entries, name, shape) if name in entries else None for name in ("held", "residual"))
    entries.finish()
    return SavedUpdate(update, held, residual)


def _factors(entries: Entries) -> OuterSum:
    left, right = (entries.take(name, dims=2) for name in ("left", "right"))
    if left.shape[1] != right.shape[1] or left.shape[1] == 0:
        shown = f"{tuple(left.shape)} and {tuple(right.shape)}"
        rule, fix = "must be (out, r) and (in, r) with r at least 1", "give both sides the same columns"
        raise entries.wrong("shapes of left and right", shown, rule, fix)
    scale = entries.number("scale") if "scale" in entries else 1.0
    return OuterSum(left, right.to(left), scale)


def _matrix(entries: Entries, name: str, shape: tuple[int, ...]) -> Tensor:
    found = entries.take(name, dims=2)
    if tuple(found.shape) != shape:
        rule, fix = f"must be {shape}, that of the update", "take both from the same layer"
        raise entries.wrong(f"shape of {name}", tuple(found.shape), rule, fix)
    return found
