"""Turn what users hold (numpy arrays, tensors of any real type) into the two types the toolkit computes with.

Samples become float32; y of one dimension is class labels, int64, and y of two dimensions is targets, float32. Values
are never rescaled: pixels from 0 to 255 stay so. Results are on the CPU, outside any autograd graph, and may share
memory with a tensor that was given.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mep_hw.errors import DataError

Array: TypeAlias = Tensor | NDArray[Any]


def as_samples(value: Array, field: str) -> Tensor:
    """Samples as float32, (n, *features); `field` names them in errors.

    Raises:
        DataError: not real numbers, no dimension, NaN or infinite.
    """
    given = _real(value, field)
    samples = given.to(torch.float32)
    if samples.dim() == 0:
        raise DataError("data", field, value, rule="must be (samples, *features)", fix="add a first dimension")
    _finite(samples, given, field)
    return samples


def as_answers(value: Array, field: str) -> Tensor:
    """Labels (n,) as int64, or targets (n, outputs) as float32; `field` names them in errors.

    Raises:
        DataError: not real numbers, another number of dimensions, NaN or infinite, or labels that are not whole.
    """
    given = _real(value, field)
    if given.dim() not in (1, 2):
        rule = "must be labels (samples,) or targets (samples, outputs)"
        raise DataError("data", f"{field} shape", tuple(given.shape), rule=rule, fix="reshape it")
    if given.dim() == 2:
        targets = given.to(torch.float32)
        _finite(targets, given, field)
        return targets
    _finite(given, given, field)
    labels = given.to(torch.int64)
    odd = (labels.to(given.dtype) != given).nonzero()
    if len(odd):
        at = int(odd[0])
        rule = "labels must be whole numbers"
        fix = "for regression give targets of shape (samples, outputs)"
        raise DataError("data", f"{field}[{at}]", given[at].item(), rule=rule, fix=fix)
    return labels


def one_hot(labels: Tensor, classes: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Labels as rows with a single 1.

    Args:
        labels: (n,) of any integer type, from 0 to `classes` - 1.
        classes: number of columns.
        dtype: of the result.

    Returns:
        (n, classes), on the device of `labels`.

    Raises:
        DataError: a label is out of range or not an integer, or `labels` has another number of dimensions.
    """
    if labels.dim() != 1 or labels.is_floating_point() or labels.is_complex():
        shown = f"{labels.dtype} {tuple(labels.shape)}"
        raise DataError("one_hot", "labels", shown, rule="must be integers of shape (n,)", fix="convert them first")
    index = labels.to(torch.int64)
    check_range(index, classes, "labels", where="one_hot")
    rows = torch.zeros(len(index), classes, dtype=dtype, device=labels.device)
    return rows.scatter_(1, index[:, None], 1)


def check_range(labels: Tensor, classes: int, field: str, *, where: str = "data") -> None:
    """Raise DataError, with index and value, unless all int64 labels (n,) are from 0 to `classes` - 1."""
    wrong = ((labels < 0) | (labels >= classes)).nonzero()
    if not len(wrong):
        return
    at = int(wrong[0])
    rule = f"labels must be from 0 to {classes - 1}"
    if len(wrong) > 1:
        rule += f" ({len(wrong)} are not)"
    fix = f"number the classes from 0, or use a model with more outputs than {classes}"
    raise DataError(where, f"{field}[{at}]", int(labels[at]), rule=rule, fix=fix)


def _real(value: Array, field: str) -> Tensor:
    fix = "give a numpy array or a tensor of numbers"
    if isinstance(value, Tensor):
        tensor = value.detach().to("cpu")
    else:
        try:
            # A copy, because torch cannot wrap read-only memory.
            tensor = torch.as_tensor(np.array(value, order="C"))
        except (TypeError, ValueError) as error:
            shown = getattr(value, "dtype", type(value).__name__)
            rule = "is not a type of number that torch knows"
            raise DataError("data", f"{field} dtype", shown, rule=rule, fix=fix) from error
    if tensor.is_complex() or tensor.layout != torch.strided:
        shown = f"{tensor.dtype} {tensor.layout}"
        raise DataError("data", f"{field} dtype", shown, rule="must be dense real numbers", fix=fix)
    return tensor


def _finite(converted: Tensor, given: Tensor, field: str) -> None:
    """Checks the converted values, since a large float64 becomes infinite in float32, but shows the given one."""
    if bool(torch.isfinite(converted).all()):
        return
    at = tuple(int(i) for i in (~torch.isfinite(converted)).nonzero()[0])
    index = ", ".join(map(str, at))
    fix = "remove or replace such samples before training"
    raise DataError("data", f"{field}[{index}]", given[at].item(), rule="must be finite in float32", fix=fix)
