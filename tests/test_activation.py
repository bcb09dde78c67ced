"""rho and G belong together: rho(u) minimises G(s) - s u on the range, and G' is the inverse of rho."""

from __future__ import annotations

import pytest
import torch
from scipy.optimize import minimize_scalar

from mep_hw.activation import NAMED, Activation, Box, Sigmoid, Tanh
from mep_hw.errors import ModelError

CASES: dict[str, tuple[Activation, float, float]] = {
    "hard_sigmoid": (NAMED["hard_sigmoid"], 0.0, 1.0),
    "clipped_relu": (NAMED["clipped_relu"], 0.0, 6.0),
    "box": (Box(-0.5, 2.0, gain=0.3, offset=0.4), -0.5, 2.0),
    "sigmoid": (NAMED["sigmoid"], 0.0, 1.0),
    "tanh": (NAMED["tanh"], -1.0, 1.0),
}


def scalar(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("drive", [-8.0, -2.5, -0.3, 0.0, 0.7, 1.6, 9.0])
def test_rho_minimises_the_energy_of_one_unit(name: str, drive: float) -> None:
    activation, low, high = CASES[name]
    found = minimize_scalar(
        lambda s: float(activation.potential(scalar(s))) - s * drive, bounds=(low, high), method="bounded",
        options={"xatol": 1e-10},
    )  # fmt: skip
    assert float(activation.rho(scalar(drive))) == pytest.approx(found.x, abs=2e-7)


@pytest.mark.parametrize("name", CASES)
def test_inverse_is_the_slope_of_the_potential(name: str) -> None:
    activation, low, high = CASES[name]
    state = torch.linspace(low, high, 31, dtype=torch.float64)[1:-1].requires_grad_()
    (slope,) = torch.autograd.grad(activation.potential(state).sum(), state)
    assert torch.allclose(slope, activation.inverse(state.detach()), rtol=0, atol=1e-12)
    assert torch.allclose(activation.rho(slope), state, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_potential_is_finite_at_both_ends(name: str) -> None:
    activation, low, high = CASES[name]
    assert bool(activation.potential(torch.tensor([low, high], dtype=torch.float64)).isfinite().all())


@pytest.mark.parametrize("name", CASES)
def test_rho_leaves_the_drive_alone_and_rho_in_place_does_not_allocate(name: str) -> None:
    activation, _, _ = CASES[name]
    drive = torch.linspace(-9, 9, 13, dtype=torch.float64)
    before = drive.clone()
    value = activation.rho(drive)
    assert torch.equal(drive, before)
    assert activation.rho_(drive) is drive and torch.equal(drive, value)


def test_only_analytic_activations_are_smooth() -> None:
    assert Sigmoid().smooth and Tanh().smooth and not Box().smooth


@pytest.mark.parametrize("numbers", [(1, 1), (2, 1), (0, 1, 0), (0, 1, -1), (0, float("inf")), (float("nan"), 1)])
def test_a_box_needs_a_finite_range_and_a_gain(numbers: tuple[float, ...]) -> None:
    with pytest.raises(ModelError, match="low < high and gain > 0"):
        Box(*numbers)
