"""An OuterSum acts like the matrix it stands for, in every operation that avoids forming it."""

from __future__ import annotations

import pytest
import torch

from mep_hw.outersum import OuterSum, add_into_, checksum, dense


@pytest.fixture
def factors() -> OuterSum:
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(5, 2, generator=generator, dtype=torch.float64)
    right = torch.randn(3, 2, generator=generator, dtype=torch.float64)
    return OuterSum(left, right, scale=-0.7)


def matrix(m: OuterSum) -> torch.Tensor:
    """The definition, column by column."""
    return m.scale * sum((torch.outer(m.left[:, k], m.right[:, k]) for k in range(m.rank)), torch.zeros(m.shape))


def test_dense_is_the_sum_of_outer_products(factors: OuterSum) -> None:
    assert factors.shape == (5, 3) and factors.rank == 2
    assert torch.allclose(factors.dense(), matrix(factors), atol=1e-14)
    assert torch.allclose(dense(factors), matrix(factors), atol=1e-14)
    unit = OuterSum(factors.left, factors.right)
    assert torch.allclose(unit.dense(), matrix(unit), atol=1e-14)


def test_add_to_gives_a_new_tensor(factors: OuterSum) -> None:
    base = torch.full((5, 3), 2.0, dtype=torch.float64)
    assert torch.allclose(factors.add_to(base), 2.0 + matrix(factors), atol=1e-14)
    assert torch.allclose(factors.add_to(base, beta=0.5), 1.0 + matrix(factors), atol=1e-14)
    assert bool((base == 2.0).all())


def test_add_into_changes_the_weights(factors: OuterSum) -> None:
    weights = torch.ones(5, 3, dtype=torch.float64)
    add_into_(weights, factors)
    assert torch.allclose(weights, 1.0 + matrix(factors), atol=1e-14)
    add_into_(weights, torch.ones(5, 3, dtype=torch.float64))
    assert torch.allclose(weights, 2.0 + matrix(factors), atol=1e-14)


def test_products_scaling_and_transpose(factors: OuterSum) -> None:
    other = torch.arange(6, dtype=torch.float64).reshape(3, 2)
    assert torch.allclose(factors.matmul(other), matrix(factors) @ other, atol=1e-13)
    assert torch.allclose((factors * -3.0).dense(), -3.0 * matrix(factors), atol=1e-13)
    assert torch.allclose(factors.transposed().dense(), matrix(factors).T, atol=1e-14)
    assert factors.scale == -0.7  # none of them changed the original


@pytest.mark.parametrize("left_size", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("right_size", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("scale", [1e-36, -0.7, 1e36])
@pytest.mark.parametrize("balanced", [True, False], ids=["balanced", "one size a column"])
def test_the_norm_is_that_of_the_matrix_for_any_size_of_entries(
    left_size: float, right_size: float, scale: float, balanced: bool
) -> None:
    generator = torch.Generator().manual_seed(3)
    left, right = (torch.randn(n, 6, generator=generator) for n in (7, 5))
    if not balanced:  # columns of all sizes, whose products are alike
        sizes = 10.0 ** torch.arange(-3, 3)
        left, right = left * sizes, right / sizes
    factors = OuterSum(left * left_size, right * right_size, scale)
    exact = OuterSum(factors.left.double(), factors.right.double(), scale).dense().norm()
    assert float(factors.norm()) == pytest.approx(float(exact), rel=1e-5, abs=0)


def test_the_norm_of_nothing_and_of_nan() -> None:
    assert float(OuterSum(torch.zeros(4, 3), torch.ones(5, 3)).norm()) == 0.0
    assert float(OuterSum(torch.ones(4, 0), torch.ones(5, 0)).norm()) == 0.0
    broken = torch.ones(4, 3)
    broken[2, 1] = float("nan")
    assert bool(OuterSum(broken, torch.ones(5, 3)).norm().isnan())


def test_a_dense_update_passes_through() -> None:
    update = torch.ones(2, 2)
    assert dense(update) is update


def test_a_multiple_is_finite_where_its_scale_and_its_factors_are() -> None:
    m = OuterSum(torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0]]))
    assert bool(checksum(m).isfinite()) and bool(checksum(m * 4).isfinite())
    for scale in (float("inf"), float("nan"), 1e300):  # the last is none of float32
        assert not bool(checksum(m * scale).isfinite())
    assert not bool(checksum(OuterSum(m.left, m.right / 0) * 0.5).isfinite())
