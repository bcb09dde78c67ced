"""The check before a run: every unusable input is one DataError that names the field and the value."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mep_hw.data import Data, as_data, check, digits, one_hot
from mep_hw.errors import DataError

NAN, INF = float("nan"), float("inf")


def made(x: Any = None, y: Any = None, test_x: Any = None, test_y: Any = None, classes: int = 3) -> Data:
    x = torch.rand(6, 4) if x is None else x
    y = torch.tensor([0, 1, 2, 0, 1, 2]) if y is None else y
    test_x = x[:0] if test_x is None else test_x
    test_y = y[:0] if test_y is None else test_y
    return Data("made", x, y, test_x, test_y, classes=classes)


def put(values: Tensor, index: Any, value: float) -> Tensor:
    values = values.clone()
    values[index] = value
    return values


def test_good_data_passes_unchanged() -> None:
    data = digits()
    same = check(data, input_shape=(64,), outputs=10)
    assert torch.equal(same.x, data.x) and torch.equal(same.y, data.y)
    assert torch.equal(same.test_x, data.test_x) and torch.equal(same.test_y, data.test_y)


@pytest.mark.parametrize(
    ("features", "shape"),
    [((64,), (1, 8, 8)), ((8, 8), (64,)), ((8, 8), (1, 8, 8)), ((1, 8, 8), (8, 8)), ((64, 1), (1, 64)), ((), (1,))],
)
def test_samples_are_reshaped_in_order(features: tuple[int, ...], shape: tuple[int, ...]) -> None:
    x = torch.rand(6, *features)
    found = check(made(x, test_x=x[:2], test_y=torch.tensor([0, 1])), input_shape=shape, outputs=3)
    assert found.x.shape == (6, *shape) and found.test_x.shape == (2, *shape)
    assert torch.equal(found.x.flatten(), x.flatten()) and found.features == shape


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.uint16, torch.float64, torch.bfloat16, torch.bool])
def test_samples_of_other_types(dtype: torch.dtype) -> None:
    x = torch.tensor([[0, 1], [1, 0]]).to(dtype)
    found = check(made(x, torch.tensor([0, 2])), input_shape=(2,), outputs=3)
    assert found.x.dtype == torch.float32 and found.x.tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.uint16, torch.uint64, torch.float32, torch.float64])
def test_labels_of_other_types(dtype: torch.dtype) -> None:
    found = check(made(y=torch.tensor([0, 1, 2, 2, 1, 0]).to(dtype)), input_shape=(4,), outputs=3)
    assert found.y.dtype == torch.int64 and found.y.tolist() == [0, 1, 2, 2, 1, 0]


def test_gradients_do_not_leak_in() -> None:
    assert not check(made(torch.rand(6, 4, requires_grad=True)), input_shape=(4,), outputs=3).x.requires_grad


def test_targets_pass() -> None:
    y = torch.rand(6, 3, dtype=torch.float64)
    found = check(made(y=y), input_shape=(4,), outputs=3)
    assert found.y.dtype == torch.float32 and not found.labelled and found.test_y.shape == (0, 3)


def test_counted_classes_may_be_fewer_than_the_outputs() -> None:
    data = as_data((torch.rand(3, 4), torch.tensor([0, 1, 1])))
    assert (data.classes, data.classes_counted) == (2, True)
    found = check(data, input_shape=(4,), outputs=10)
    assert (found.classes, found.classes_counted) == (10, False)


X, Y = torch.rand(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no samples": ({"x": X[:0], "y": Y[:0]}, "x shape = (0, 4): there is nothing to train on"),
    "no samples, no axes": ({"x": torch.tensor([]), "y": Y[:0]}, "x shape = (0,): there is nothing"),
    "scalar x": ({"x": torch.tensor(1.0), "test_x": X[:0]}, "x = tensor(1.): must be (samples, *features)"),
    "nan in x": ({"x": put(X, (2, 3), NAN)}, "x[2, 3] = nan: must be finite"),
    "inf in x": ({"x": put(X, (5, 0), -INF)}, "x[5, 0] = -inf: must be finite"),
    "too large": ({"x": put(X.double(), (1, 1), 1e300)}, "x[1, 1] = 1e+300: must be finite in float32"),
    "nan in test_x": ({"test_x": put(X, (4, 1), NAN), "test_y": Y}, "test_x[4, 1] = nan"),
    "nan label": ({"y": put(Y.float(), 3, NAN)}, "y[3] = nan: must be finite"),
    "inf target": ({"y": put(torch.rand(6, 3), (1, 2), INF)}, "y[1, 2] = inf: must be finite"),
    "y too short": ({"y": Y[:5]}, "y length = 5: x has 6 samples"),
    "y too long": ({"x": X[:5]}, "y length = 6: x has 5 samples"),
    "test_y missing": ({"test_x": X}, "test_y length = 0: test_x has 6 samples"),
    "test_x missing": ({"test_y": Y}, "test_y length = 6: test_x has 0 samples"),
    "features": ({"x": torch.rand(6, 5)}, "x values per sample = 5: the model takes 4, in shape (4,)"),
    "test features": ({"test_x": torch.rand(6, 2), "test_y": Y}, "test_x values per sample = 2: the model takes 4"),
    "fewer classes": ({"classes": 2}, "classes = 2: the model has 3 outputs"),
    "more classes": ({"classes": 10}, "classes = 10: the model has 3 outputs; use a model with 10 outputs"),
    "negative label": ({"y": put(Y, 4, -1)}, "y[4] = -1: labels must be from 0 to 2;"),
    "label from 1": ({"y": Y + 1}, "y[2] = 3: labels must be from 0 to 2 (2 are not)"),
    "test label": ({"test_x": X, "test_y": put(Y, 5, 7)}, "test_y[5] = 7: labels must be from 0 to 2"),
    "fraction": ({"y": put(Y.float(), 2, 1.5)}, "y[2] = 1.5: labels must be whole numbers"),
    "target columns": ({"y": torch.rand(6, 2)}, "y columns = 2: the model has 3 outputs"),
    "label column": ({"y": Y[:, None]}, "y columns = 1: the model has 3 outputs"),
    "test columns": ({"y": torch.rand(6, 3), "test_x": X, "test_y": torch.rand(6, 4)}, "test_y columns = 4"),
    "y of three axes": ({"y": torch.rand(6, 3, 1)}, "y shape = (6, 3, 1): must be labels"),
    "mixed": ({"y": torch.rand(6, 3), "test_x": X, "test_y": Y}, "y and test_y shapes = (6, 3) and (6,)"),
    "complex": ({"x": X.to(torch.complex64)}, "x dtype = torch.complex64"),
    "sparse": ({"x": X.to_sparse(), "test_x": X[:0]}, "x dtype = torch.float32 torch.sparse_coo"),
}


@pytest.mark.parametrize("case", BAD)
def test_unusable_data(case: str) -> None:
    fields, message = BAD[case]
    with pytest.raises(DataError, match=re.escape(f"data: {message}")) as caught:
        check(made(**fields), input_shape=(4,), outputs=3)
    assert "\n" not in str(caught.value) and caught.value.fix


@pytest.mark.parametrize(("features", "shape"), [((4, 4, 3), (3, 4, 4)), ((3, 4), (4, 3)), ((4, 4), (2, 8))])
def test_reshaping_never_scrambles_axes(features: tuple[int, ...], shape: tuple[int, ...]) -> None:
    message = f"data: x sample shape = {features}: the model takes {shape}"
    with pytest.raises(DataError, match=re.escape(message)):
        check(made(torch.rand(6, *features)), input_shape=shape, outputs=3)


def test_model_that_does_not_match_the_digits() -> None:
    with pytest.raises(DataError, match="x values per sample = 64: the model takes 784"):
        check(digits(), input_shape=(784,), outputs=10)
    with pytest.raises(DataError, match="classes = 10: the model has 7 outputs"):
        check(digits(), input_shape=(64,), outputs=7)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_one_hot(dtype: torch.dtype) -> None:
    rows = one_hot(torch.tensor([2, 0], dtype=dtype), 3, torch.float64)
    assert rows.dtype == torch.float64 and rows.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert one_hot(torch.zeros(0, dtype=dtype), 3).shape == (0, 3)


def test_one_hot_errors() -> None:
    with pytest.raises(DataError, match=re.escape("one_hot: labels[1] = 3: labels must be from 0 to 2")):
        one_hot(torch.tensor([0, 3]), 3)
    with pytest.raises(DataError, match=re.escape("labels = torch.float32 (2,): must be integers")):
        one_hot(torch.tensor([0.0, 1.0]), 3)
    with pytest.raises(DataError, match=re.escape("labels = torch.int64 (1, 1): must be integers")):
        one_hot(torch.tensor([[0]]), 3)


def test_numpy_answers_and_samples_give_the_same_error_as_tensors() -> None:
    x = np.zeros((2, 4))
    x[1, 2] = np.inf
    with pytest.raises(DataError, match=re.escape("x[1, 2] = inf")):
        as_data((x, np.array([0, 1])))
