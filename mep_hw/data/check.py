"""The last look at the data before a run: does it fit the model, and is every number usable?

It looks at types, shapes, ranges and finite values. It does not look at scale (pixels from 0 to 255 pass, and train
badly), at balance between classes, or for test samples that also occur in the training part.
"""

from __future__ import annotations

import math
from dataclasses import replace

from torch import Tensor

from mep_hw.data.convert import as_answers, as_samples, check_range
from mep_hw.data.sets import Data
from mep_hw.errors import DataError


def check(data: Data, *, input_shape: tuple[int, ...], outputs: int) -> Data:
    """Check a set against a model and shape its samples for it.

    Args:
        data: the set; uint8, float64 and other real types are converted.
        input_shape: of one sample, as the model takes it.
        outputs: of the model.

    Returns:
        The set with `x` and `test_x` of shape (n, *input_shape), and `classes` equal to `outputs`.

    Raises:
        DataError: no samples; NaN or infinite values; x and y of different length; samples of another size or layout
            than the model's; another number of classes; labels out of range or not whole.
    """
    if data.x.dim() and not len(data.x):
        rule = "there is nothing to train on"
        raise DataError("data", "x shape", tuple(data.x.shape), rule=rule, fix="give at least one sample")
    x, y = _part(data.x, data.y, "", input_shape)
    if data.test_x.numel() or data.test_y.numel():
        test_x, test_y = _part(data.test_x, data.test_y, "test_", input_shape)
    else:
        test_x, test_y = x[:0], y[:0]
    if y.dim() != test_y.dim():
        shapes = f"{tuple(y.shape)} and {tuple(test_y.shape)}"
        rule = "training and test part must both have labels (n,) or both targets (n, outputs)"
        raise DataError("data", "y and test_y shapes", shapes, rule=rule, fix="convert one with one_hot or argmax")
    if y.dim() == 1 and not data.classes_counted and data.classes != outputs:
        fix = f"use a model with {data.classes} outputs, or other data"
        raise DataError("data", "classes", data.classes, rule=f"the model has {outputs} outputs", fix=fix)
    _answers(y, outputs, "y")
    _answers(test_y, outputs, "test_y")
    return replace(data, x=x, y=y, test_x=test_x, test_y=test_y, classes=outputs, classes_counted=False)


def _part(x: Tensor, y: Tensor, prefix: str, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Convert one of the two parts, training or test, and give its samples the model's shape."""
    samples, answers = as_samples(x, f"{prefix}x"), as_answers(y, f"{prefix}y")
    if len(samples) != len(answers):
        rule = f"{prefix}x has {len(samples)} samples, and there must be one for each"
        raise DataError("data", f"{prefix}y length", len(answers), rule=rule, fix="leave out what has no partner")
    return _fit(samples, f"{prefix}x", shape), answers


def _fit(samples: Tensor, field: str, shape: tuple[int, ...]) -> Tensor:
    """Reshape (n, *features) to (n, *shape) where that keeps the meaning of the axes."""
    features = tuple(samples.shape[1:])
    if math.prod(features) != math.prod(shape):
        rule = f"the model takes {math.prod(shape)}, in shape {shape}"
        fix = "change the model's input or the samples"
        raise DataError("data", f"{field} values per sample", math.prod(features), rule=rule, fix=fix)
    have, want = ([size for size in axes if size != 1] for axes in (features, shape))
    # (28, 28, 3) reshaped to (3, 28, 28) would fit and scramble the pixels; only to and from a flat sample is safe.
    if have != want and len(have) > 1 and len(want) > 1:
        rule = f"the model takes {shape}, and the axes do not correspond"
        raise DataError("data", f"{field} sample shape", features, rule=rule, fix="permute the axes first")
    return samples.reshape(len(samples), *shape)


def _answers(y: Tensor, outputs: int, field: str) -> None:
    if y.dim() == 1:
        check_range(y, outputs, field)
    elif y.shape[1] != outputs:
        fix = "give one target column for each output, or class labels of shape (n,)"
        raise DataError("data", f"{field} columns", y.shape[1], rule=f"the model has {outputs} outputs", fix=fix)
