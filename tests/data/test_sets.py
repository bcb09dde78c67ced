"""The digits split that results rest on, and validation splits."""

from __future__ import annotations

import hashlib

import pytest
import torch

from mep_hw.data import Data, as_data, digits
from mep_hw.errors import DataError


def rows(x: torch.Tensor) -> list[bytes]:
    return [row.numpy().tobytes() for row in x]


def test_digits_shapes_types_and_range() -> None:
    data = digits()
    assert (data.name, data.classes, data.classes_counted) == ("digits", 10, False)
    assert data.x.shape == (1437, 64) and data.test_x.shape == (360, 64)
    assert data.y.shape == (1437,) and data.test_y.shape == (360,)
    assert data.x.dtype == data.test_x.dtype == torch.float32
    assert data.y.dtype == data.test_y.dtype == torch.int64
    assert data.x.min() == 0 and data.x.max() == 1
    assert data.has_test and data.labelled and data.features == (64,)


def test_digits_split_is_the_one_that_published_numbers_use() -> None:
    torch.manual_seed(1)
    first = digits()
    torch.manual_seed(2)
    second = digits()
    assert torch.equal(first.test_x, second.test_x) and torch.equal(first.x, second.x)
    found = hashlib.md5(first.test_x.numpy().tobytes() + first.test_y.numpy().tobytes()).hexdigest()
    assert found == "b195bfe9309c76d96e5165ef44114556"


def test_digits_split_is_stratified_and_disjoint() -> None:
    data = digits()
    train, test = torch.bincount(data.y), torch.bincount(data.test_y)
    share = test / (train + test)
    assert (share - 360 / 1797).abs().max() < 0.006  # one sample of 174, the smallest class
    assert not set(rows(data.x)) & set(rows(data.test_x))
    # Pixels and labels still belong together: the class means must classify most of the test part.
    means = torch.stack([data.x[data.y == k].mean(0) for k in range(10)])
    assert (torch.cdist(data.test_x, means).argmin(1) == data.test_y).float().mean() > 0.85


def test_validation_is_stratified_disjoint_and_complete() -> None:
    data = digits()
    rest, x, y = data.split(0.2, seed=3)
    assert len(x) == len(y) == round(0.2 * 1437) and len(rest.x) + len(x) == 1437
    share = torch.bincount(y) / torch.bincount(data.y)
    assert (share - 0.2).abs().max() < 0.01
    assert sorted(rows(rest.x) + rows(x)) == sorted(rows(data.x))
    assert torch.equal(rest.test_x, data.test_x) and rest.classes == 10


def test_validation_depends_on_the_seed_alone() -> None:
    data = digits()
    first = data.split(0.1, seed=3)[1]
    torch.manual_seed(99)
    assert torch.equal(first, data.split(0.1, seed=3)[1])
    assert not torch.equal(first, data.split(0.1, seed=4)[1])


def test_validation_of_unequal_classes_never_takes_the_last_sample() -> None:
    y = torch.tensor([0] * 100 + [1] * 10 + [2])
    rest, _, held = as_data((torch.rand(111, 3), y)).split(0.9, seed=0)
    assert torch.bincount(rest.y, minlength=3).tolist() == [10, 1, 1]
    assert torch.bincount(held, minlength=3).tolist() == [90, 9, 0]


def test_validation_rounds_so_that_the_total_is_right() -> None:
    _, _, held = as_data((torch.rand(33, 3), torch.arange(33) % 3)).split(0.25, seed=0)
    assert sorted(torch.bincount(held).tolist()) == [2, 3, 3]  # 2.75 of each class, 8.25 in all


def test_validation_of_targets_keeps_pairs() -> None:
    x = torch.arange(40.0).reshape(20, 2)
    rest, x_val, y_val = as_data((x, x * 2)).split(0.25, seed=0)
    assert len(x_val) == 5 and torch.equal(y_val, x_val * 2) and torch.equal(rest.y, rest.x * 2)
    assert not torch.equal(x_val, x[:5])


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_validation_fraction_out_of_range(fraction: float) -> None:
    with pytest.raises(DataError, match=rf"validation = {fraction}.*between 0 and 1"):
        digits().split(fraction, seed=0)


@pytest.mark.parametrize("fraction", [0.01, 0.99])
def test_validation_that_would_be_empty(fraction: float) -> None:
    data = Data("tiny", torch.rand(2, 3), torch.tensor([0, 1]), torch.rand(0, 3), torch.tensor([]), classes=2)
    with pytest.raises(DataError, match=rf"validation = {fraction}.*2 samples"):
        data.split(fraction, seed=0)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_validation_seed_out_of_range(seed: int) -> None:
    with pytest.raises(DataError, match=f"split seed = {seed}"):
        digits().split(0.1, seed)
