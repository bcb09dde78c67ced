"""From whatever a user passes as `data` to a `Data`: a name, arrays, loaders, or nothing at all.

A `DataLoader` is read once, to the end, and its samples are kept in that order. Random augmentation is therefore frozen
at one pass, samples that `drop_last` leaves out are lost, and a loader without end never returns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from mep_hw.data.convert import Array, as_answers, as_samples
from mep_hw.data.mnist import mnist
from mep_hw.data.sets import Data, digits
from mep_hw.errors import DataError

Part: TypeAlias = tuple[Array, Array] | DataLoader[Any]
Source: TypeAlias = None | str | Data | Part | tuple[Part, Part]

_SETS: dict[str, Callable[[], Data]] = {"digits": digits, "mnist": mnist}
_ACCEPTED = "give None, a name, Data, (x, y), ((x, y), (test_x, test_y)), a DataLoader or a pair of DataLoaders"


def load(name: str) -> Data:
    """Load a set by name: "digits" or "mnist".

    Raises:
        DataError: no set has this name, or its files cannot be had.
    """
    if name not in _SETS:
        raise DataError("data", "name", name, rule="is not a known set", fix="known sets: " + ", ".join(_SETS))
    return _SETS[name]()


def as_data(source: Source, *, classes: int | None = None) -> Data:
    """Make a `Data` of any accepted source; whether it fits a model is for `check` to say.

    Args:
        source: None for the digits; the name of a set; a `Data`; `(x, y)` or `((x, y), (test_x, test_y))` of tensors or
            numpy arrays; a `DataLoader` of such pairs, or a pair of them, training first. Samples (n, *features) become
            float32 without rescaling; y is labels (n,) or targets (n, outputs).
        classes: number of classes, when labels alone may not show all of them.

    Raises:
        DataError: a source of another kind; an unknown name; an unusable array; `classes` contradicts the data.
    """
    if classes is not None and classes < 1:
        raise DataError("data", "classes", classes, rule="must be 1 or more", fix="leave it out to count the labels")
    if source is None or isinstance(source, str | Data):
        data = source if isinstance(source, Data) else load("digits" if source is None else source)
    else:
        data = _given(source)
    if classes is None or classes == data.classes:
        return data if classes is None else replace(data, classes_counted=False)
    if not data.classes_counted or classes < data.classes:
        kind = "classes" if data.labelled else "target columns"
        rule = f"the data has {data.classes} {kind}"
        raise DataError("data", "classes", classes, rule=rule, fix="leave it out, or correct it")
    return replace(data, classes=classes, classes_counted=False)


def _given(source: object) -> Data:
    """A set from arrays or loaders, one part or two."""
    pair = _pair(source)
    if _is_part(source):
        given = [source]
    elif pair is not None and all(_is_part(item) for item in pair):
        given = [*pair]
    else:
        raise DataError("data", "source", _kind(source), rule="is not a kind of data that can be used", fix=_ACCEPTED)
    name = "loader" if isinstance(given[0], DataLoader) else "arrays"
    x, y = _part(cast("Part", given[0]), "")
    test_x, test_y = _part(cast("Part", given[1]), "test_") if len(given) == 2 else (x[:0], y[:0])
    if y.dim() == 2:
        return Data(name, x, y, test_x, test_y, classes=y.shape[1])
    seen = [int(labels.max()) for labels in (y, test_y) if labels.dim() == 1 and len(labels)]
    return Data(name, x, y, test_x, test_y, classes=max(seen, default=-1) + 1, classes_counted=True)


def _is_part(item: object) -> bool:
    pair = _pair(item)
    return isinstance(item, DataLoader) or (pair is not None and all(isinstance(i, Tensor | np.ndarray) for i in pair))


def _pair(item: object) -> tuple[object, object] | None:
    if not isinstance(item, tuple | list):
        return None
    items = cast("tuple[object, ...]", item)
    return (items[0], items[1]) if len(items) == 2 else None


def _part(part: Part, prefix: str) -> tuple[Tensor, Tensor]:
    """Samples and answers of one part, converted."""
    x, y = _collect(part) if isinstance(part, DataLoader) else part
    return as_samples(x, f"{prefix}x"), as_answers(y, f"{prefix}y")


def _collect(loader: DataLoader[Any]) -> tuple[Tensor, Tensor]:
    """All batches of a loader, joined."""
    batches: list[tuple[Tensor, Tensor]] = []
    for index, batch in enumerate(loader):
        pair = _pair(batch)
        if pair is None or not all(isinstance(item, Tensor) for item in pair):
            rule = "a batch must be a pair of tensors, samples and labels"
            raise DataError("DataLoader", f"batch {index}", _kind(batch), rule=rule, fix="change its collate_fn")
        batches.append(cast("tuple[Tensor, Tensor]", pair))
    if not batches:
        fix = "check drop_last and the set behind it"
        raise DataError("DataLoader", "batches", 0, rule="there must be at least one", fix=fix)
    try:
        return torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])
    except RuntimeError as error:
        shapes = sorted({f"{tuple(x.shape[1:])} with y {tuple(y.shape[1:])}" for x, y in batches})
        shown, rule = ", ".join(shapes), "all samples must have the same shape"
        raise DataError("DataLoader", "sample shapes", shown, rule=rule, fix="resize or pad them") from error


def _kind(item: object) -> str:
    name = type(item).__name__
    if not isinstance(item, tuple | list):
        return name
    return f"{name} of " + ", ".join(type(i).__name__ for i in cast("tuple[object, ...]", item))
