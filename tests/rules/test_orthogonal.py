"""Polar factors against a float64 SVD, and each coefficient set against the interval it promises."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mep_hw.errors import DivergenceError, InputError
from mep_hw.rules.orthogonal import COEFFICIENTS, newton_schulz, orthogonalise

SHAPES = [(24, 64), (64, 24), (32, 32)]


def with_values(shape: tuple[int, int], values: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A float64 matrix with these singular values, and its polar factor."""
    generator = torch.Generator().manual_seed(seed)
    u, v = (torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))[0] for n in shape)
    rank = len(values)
    return (u[:, :rank] * values) @ v[:, :rank].T, u[:, :rank] @ v[:, :rank].T


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_the_svd_gives_the_polar_factor_at_any_size(shape: tuple[int, int], size: float) -> None:
    matrix, polar = with_values(shape, torch.logspace(0, -2, min(shape), dtype=torch.float64) * size)
    assert torch.allclose(orthogonalise(matrix), polar, rtol=0, atol=1e-10)
    assert torch.allclose(orthogonalise(matrix.float()), polar.float(), rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", COEFFICIENTS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_set_ends_in_its_own_interval(name: str, shape: tuple[int, int]) -> None:
    known = COEFFICIENTS[name]
    values = torch.logspace(0, -1.5, min(shape), dtype=torch.float64)
    values[-1] = values.norm() * known.lowest * 1.01  # the smallest one that the set answers for
    matrix, polar = with_values(shape, values)
    result = orthogonalise(matrix, name)
    found = torch.linalg.svdvals(result)
    assert known.low <= float(found.min()) and float(found.max()) <= known.high
    assert float((result * polar).sum() / (result.norm() * polar.norm())) > 0.98  # the vectors stay


@pytest.mark.parametrize("name", COEFFICIENTS)
def test_the_interval_is_not_wider_than_needed(name: str) -> None:
    """Dense scan of the scalar map: the promised ends are reached to within 0.02."""
    known = COEFFICIENTS[name]
    shares = torch.logspace(torch.log10(torch.tensor(known.lowest)).item(), 0, 4000, dtype=torch.float64)
    value = shares / known.margin
    for a, b, c in known.steps:
        value = a * value + b * value**3 + c * value**5
    assert known.low <= float(value.min()) <= known.low + 0.02
    assert known.high - 0.02 <= float(value.max()) <= known.high


@pytest.mark.parametrize("size", [1e-25, 1e-10, 1.0, 1e25])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_newton_schulz_does_not_depend_on_the_size(size: float, dtype: torch.dtype) -> None:
    matrix = torch.randn(16, 24, generator=torch.Generator().manual_seed(0))
    power = 2.0 ** round(torch.log2(torch.tensor(size)).item())
    expected = newton_schulz(matrix, COEFFICIENTS["quintic"], dtype)
    assert torch.equal(newton_schulz(matrix * power, COEFFICIENTS["quintic"], dtype), expected)
    assert expected.norm() > 3  # not merely zeros


@pytest.mark.parametrize("method", ["svd", "quintic", "polar-express"])
def test_directions_that_are_absent_stay_absent(method: str) -> None:
    matrix, polar = with_values((20, 30), torch.tensor([1.0, 0.5, 0.2], dtype=torch.float64))
    found = torch.linalg.svdvals(orthogonalise(matrix.float(), method))
    assert int((found > 0.5).sum()) == 3 and float(found[3:].max()) < 1e-2
    assert torch.linalg.matrix_rank(polar) == 3


@pytest.mark.parametrize("method", ["svd", "quintic"])
def test_zero_stays_zero(method: str) -> None:
    assert torch.equal(orthogonalise(torch.zeros(4, 6), method), torch.zeros(4, 6))


def test_not_a_number_is_reported() -> None:
    with pytest.raises(DivergenceError, match="holds NaN or infinity"):
        orthogonalise(torch.full((4, 4), float("nan")))


def test_an_unknown_method_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="method = newton: is not one of auto, svd, quintic"):
        orthogonalise(torch.eye(2), "newton")
