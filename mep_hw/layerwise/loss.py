"""What a nudge pulls the output towards: C(s_L, y), summed over everything but the batch.

For outputs with positions, such as (batch, length, classes), C is the sum over the positions; divide the learning rate
by the length where a mean is wanted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from mep_hw.errors import DataError, InputError


class Loss(ABC):
    """A loss per sample, of which settling needs the slope only; it is written out, so no graph is needed for it."""

    name: str

    @abstractmethod
    def fit(self, output: Tensor, target: Tensor) -> Tensor:
        """`target` in the form that `slope` takes.

        Raises:
            DataError: it does not fit `output`.
        """

    @abstractmethod
    def slope(self, output: Tensor, target: Tensor) -> Tensor:
        """dC/d(output), in the shape of `output`."""


class SquaredError(Loss):
    """C = |s - y|^2 / 2 for floating targets in the shape of the output; labels stand for one-hot rows."""

    name = "squared_error"

    def fit(self, output: Tensor, target: Tensor) -> Tensor:
        if not target.is_floating_point():
            _require_labels(target, output)
            return torch.zeros_like(output).scatter_(-1, target.long()[..., None], 1.0)
        _require_shape(target, output.shape)
        if not bool(target.isfinite().all()):
            raise _wrong("values", "NaN or infinite", "must be finite", "clean the targets")
        return target.to(output.dtype)

    def slope(self, output: Tensor, target: Tensor) -> Tensor:
        return output - target


class CrossEntropy(Loss):
    """C = -log softmax(s)_y for integer labels; classes are the last dimension of the output."""

    name = "cross_entropy"

    def fit(self, output: Tensor, target: Tensor) -> Tensor:
        _require_labels(target, output)
        return target.long()

    def slope(self, output: Tensor, target: Tensor) -> Tensor:
        minus_one = output.new_full((), -1.0).expand(*target.shape, 1)
        return output.softmax(-1).scatter_add_(-1, target[..., None], minus_one)


LOSSES: dict[str, Loss] = {loss.name: loss for loss in (SquaredError(), CrossEntropy())}


def choose(target: Tensor, name: str | None = None) -> Loss:
    """The loss called `name`; None: cross entropy for integer targets, squared error for floating ones.

    Raises:
        InputError: unknown name, or a target that is neither.
    """
    if name is None:
        if target.dtype == torch.bool or target.is_complex():
            raise _wrong("dtype", target.dtype, "must be integer or floating", "use target.long() or target.float()")
        name = "squared_error" if target.is_floating_point() else "cross_entropy"
    if name not in LOSSES:
        raise InputError("loss", value=name, rule=f"is not one of {', '.join(LOSSES)}", fix="choose one of them")
    return LOSSES[name]


def _require_labels(target: Tensor, output: Tensor) -> None:
    if target.is_floating_point() or target.is_complex() or target.dtype == torch.bool:
        raise _wrong("dtype", target.dtype, "must be integer labels", "give labels, not one-hot rows")
    _require_shape(target, output.shape[:-1])
    if target.numel() and not (0 <= int(target.min()) and int(target.max()) < output.shape[-1]):
        shown = f"{int(target.min())} to {int(target.max())}"
        raise _wrong("labels", shown, f"must lie between 0 and {output.shape[-1] - 1}", "check the classes")


def _require_shape(target: Tensor, shape: torch.Size) -> None:
    if target.shape != shape:
        raise _wrong("shape", tuple(target.shape), f"must be {tuple(shape)}, as the output asks", "reshape the target")


def _wrong(field: str, value: object, rule: str, fix: str) -> DataError:
    return DataError("target", field, value, rule=rule, fix=fix)
