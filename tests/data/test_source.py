"""All kinds of sources become the same `Data`."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from mep_hw.data import Data, as_data, digits, load
from mep_hw.errors import DataError

X = torch.arange(20.0).reshape(5, 2, 2)
Y = torch.tensor([0, 1, 2, 1, 0])
TEST_X, TEST_Y = X[:3] + 100, torch.tensor([3, 0, 1])


def loader(x: Any = X, y: Any = Y, **options: Any) -> DataLoader[Any]:
    return DataLoader(TensorDataset(x, y), batch_size=2, **options)


def same(a: Data, b: Data) -> bool:
    pairs = ((a.x, b.x), (a.y, b.y), (a.test_x, b.test_x), (a.test_y, b.test_y))
    return all(torch.equal(p, q) and p.dtype == q.dtype for p, q in pairs)


def test_none_and_name_give_the_digits() -> None:
    assert same(as_data(None), digits()) and same(as_data("digits"), digits()) and same(load("digits"), digits())


@pytest.mark.parametrize("name", ["cifar", "", "Digits"])
def test_unknown_name(name: str) -> None:
    for get in (load, as_data):
        with pytest.raises(DataError, match=f"name = {name}: is not a known set; known sets: digits, mnist"):
            get(name)


def test_data_passes_through() -> None:
    data = digits()
    assert as_data(data) is data


SOURCES: dict[str, Any] = {
    "tensors": (X, Y),
    "list": [X, Y],
    "numpy": (X.numpy(), Y.numpy()),
    "float64 and uint8": (X.numpy().astype(np.float64), Y.numpy().astype(np.uint8)),
    "mixed": (X.numpy(), Y),
    "loader": loader(),
}
TESTS: dict[str, Any] = {
    "tensors": (TEST_X, TEST_Y),
    "numpy": (TEST_X.numpy(), TEST_Y.numpy()),
    "loader": loader(TEST_X, TEST_Y),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_training_part_only(kind: str) -> None:
    data = as_data(SOURCES[kind])
    assert same(data, Data("", X, Y, X[:0], Y[:0], classes=3))
    assert (data.classes, data.classes_counted, data.has_test) == (3, True, False)
    assert data.name == ("loader" if kind == "loader" else "arrays")


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("kind", SOURCES)
def test_both_parts(kind: str, test: str) -> None:
    data = as_data((SOURCES[kind], TESTS[test]))
    assert same(data, Data("", X, Y, TEST_X, TEST_Y, classes=4))
    assert data.classes == 4 and data.has_test  # the label 3 occurs in the test part only


def test_read_only_big_and_strided_arrays() -> None:
    fixed = X.numpy().copy()
    fixed.setflags(write=False)
    assert same(as_data((fixed, Y)), as_data((X, Y)))
    assert same(as_data((np.asfortranarray(fixed), Y.numpy()[::-1])), as_data((X, Y.flip(0))))


def test_arrays_are_copied() -> None:
    mine = X.numpy().copy()
    data = as_data((mine, Y))
    mine[:] = -1
    assert torch.equal(data.x, X)


def test_targets() -> None:
    data = as_data((X, torch.eye(5, dtype=torch.int64)))
    assert (data.classes, data.classes_counted, data.labelled) == (5, False, False)
    assert data.y.dtype == torch.float32


def test_classes_given() -> None:
    data = as_data((X, Y), classes=10)
    assert (data.classes, data.classes_counted) == (10, False)
    assert as_data((X, Y), classes=3).classes_counted is False
    assert as_data("digits", classes=10).classes == 10


@pytest.mark.parametrize(
    ("source", "classes", "message"),
    [
        ((X, Y), 2, "classes = 2: the data has 3 classes"),
        ("digits", 12, "classes = 12: the data has 10 classes"),
        ((X, torch.eye(5)), 4, "classes = 4: the data has 5 target columns"),
        ((X, Y), 0, "classes = 0: must be 1 or more"),
    ],
)
def test_classes_that_contradict(source: Any, classes: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        as_data(source, classes=classes)


class Dicts(torch.utils.data.Dataset[dict[str, int]]):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict[str, int]:
        return {"x": index}


ragged = [(torch.rand(1, 2), torch.tensor([0])), (torch.rand(1, 3), torch.tensor([0]))]

BAD: dict[str, tuple[Any, str]] = {
    "number": (3, "source = int: is not a kind of data"),
    "x alone": (X, "source = Tensor: is not a kind of data"),
    "three": ((X, Y, X), "source = tuple of Tensor, Tensor, Tensor"),
    "four in a row": ((X, Y, TEST_X, TEST_Y), "source = tuple of Tensor, Tensor, Tensor, Tensor"),
    "half": (((X, Y), TEST_X), "source = tuple of tuple, Tensor"),
    "lists": (([[0.0]], [0]), "source = tuple of list, list"),
    "text": ((np.array([["a"]]), Y[:1]), "x dtype = <U1: is not a type of number"),
    "objects": ((X, np.array([0, None, 1, 2, 0])), "y dtype = object: is not a type of number"),
    "nan in test": (((X, Y), (X * torch.nan, Y)), "test_x[0, 0, 0] = nan: must be finite"),
    "labels of 1.5": ((X, Y + 0.5), "y[0] = 0.5: labels must be whole numbers"),
    "loader of x": (DataLoader(TensorDataset(X)), "batch 0 = list of Tensor: a batch must be a pair"),
    "loader of dicts": (DataLoader(Dicts()), "batch 0 = dict: a batch must be a pair"),
    "empty loader": (loader(X[:1], Y[:1], drop_last=True), "batches = 0: there must be at least one"),
    "ragged loader": (
        DataLoader(ragged, batch_size=None),  # type: ignore[arg-type]
        "sample shapes = (2,) with y (), (3,) with y (): all samples",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_unusable_source(case: str) -> None:
    source, message = BAD[case]
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        as_data(source)
    assert "\n" not in str(caught.value) and caught.value.fix
