"""What a data set is, how a validation part is cut from it, and the bundled digits.

A set is four tensors. Samples keep their natural shape, (n, 64) or (n, 1, 28, 28), until `check` reshapes them for a
model. A missing test part is an empty tensor, so that every field always has a length and a dtype; `has_test` tells
it apart, and an accuracy on it must be reported as unknown.

Only real-valued samples are covered: token indices would be turned into float32.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mep_hw.errors import DataError

DIGITS_TEST_SAMPLES = 360
DIGITS_SPLIT_SEED = 0

_Floats: TypeAlias = NDArray[np.float64]
_Labels: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Data:
    """Training and test samples. Two sets are equal only if they are the same object.

    Args:
        name: "digits", "mnist", or what kind of source it came from.
        x: samples, float32, (n, *features), no unit.
        y: class labels, int64, (n,), from 0; or targets, float32, (n, outputs).
        test_x: as `x`; (0, *features) when there is no test part.
        test_y: as `y`; length 0 when there is no test part.
        classes: number of classes, or of target columns.
        classes_counted: `classes` is one more than the largest label seen, so a model may have more outputs.
    """

    name: str
    x: Tensor
    y: Tensor
    test_x: Tensor
    test_y: Tensor
    classes: int
    classes_counted: bool = False

    @property
    def has_test(self) -> bool:
        """Whether there are test samples."""
        return len(self.test_x) > 0

    @property
    def labelled(self) -> bool:
        """Whether `y` holds class labels; otherwise it holds targets."""
        return self.y.dim() == 1

    @property
    def features(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return tuple(self.x.shape[1:])

    def split(self, validation: float, seed: int) -> tuple[Data, Tensor, Tensor]:
        """Move a part of the training samples aside for validation; the test part is untouched.

        With labels the split is stratified: each class gives its share, rounded so that the total is right, but
        never its last sample. With targets it is plainly random. Equal arguments give equal splits. Meant for a set
        that passed `check`.

        Args:
            validation: fraction of the training samples, between 0 and 1, both excluded.
            seed: of the choice of samples, from 0 to 2**32 - 1.

        Returns:
            The set without the validation samples, then x (m, *features) and y (m,) or (m, outputs) of these.

        Raises:
            DataError: the fraction is out of range, or would leave one of the two parts empty.
        """
        if not 0.0 < validation < 1.0:
            fix = "use for example 0.1, or ask for no validation part"
            raise DataError("data", "validation", validation, rule="must lie between 0 and 1", fix=fix)
        if not 0 <= seed < 2**32:
            rule = "must lie between 0 and 2**32 - 1"
            raise DataError("data", "split seed", seed, rule=rule, fix="use for example 0")
        groups = self.y.numpy() if self.labelled else np.zeros(len(self.y), dtype=np.int64)
        held = _stratified(groups, validation, seed)
        if not held.any() or held.all():
            rule = f"leaves nothing on one side of {len(self.x)} samples"
            raise DataError("data", "validation", validation, rule=rule, fix="give more samples or another fraction")
        aside = torch.as_tensor(held)
        rest = replace(self, x=self.x[~aside], y=self.y[~aside])
        return rest, self.x[aside], self.y[aside]


def digits() -> Data:
    """The 8x8 handwritten digits that scikit-learn bundles: 1437 training and 360 test samples, pixels in [0, 1].

    The stratified split is the same in every run, whatever the run's seed, so that results can be compared.

    Returns:
        `x` (1437, 64), `test_x` (360, 64), ten classes.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = cast("tuple[_Floats, _Labels]", load_digits(return_X_y=True))
    order = np.arange(len(labels))
    train, test = cast(
        "tuple[_Labels, _Labels]",
        train_test_split(order, test_size=DIGITS_TEST_SAMPLES, random_state=DIGITS_SPLIT_SEED, stratify=labels),
    )
    x = torch.as_tensor((pixels / 16.0).astype(np.float32))
    y = torch.as_tensor(labels.astype(np.int64))
    return Data("digits", x[train], y[train], x[test], y[test], classes=10)


def _stratified(groups: _Labels, fraction: float, seed: int) -> NDArray[np.bool_]:
    """Choose a share of every group by largest remainder; returns a mask of shape (n,)."""
    # RandomState's streams are frozen by numpy's own policy; those of torch and of default_rng may change.
    random = np.random.RandomState(seed)
    values, counts = np.unique(groups, return_counts=True)
    shares = counts * fraction
    sizes = np.floor(shares).astype(np.int64)
    missing = round(len(groups) * fraction) - int(sizes.sum())
    sizes[np.argsort(sizes - shares, kind="stable")[: max(missing, 0)]] += 1
    held = np.zeros(len(groups), dtype=np.bool_)
    for value, size, count in zip(values, sizes, counts, strict=True):
        members = random.permutation(np.flatnonzero(groups == value))
        held[members[: min(size, count - 1)]] = True
    return held
