"""Learning in Lava's engine against EP; in fixed point with the agreement that was measured, less a margin."""

from __future__ import annotations

import numpy as np
import pytest
from command import call
from lava_cases import interpreter

from mep_hw.errors import InputError
from mep_hw.loihi.learn import agreement, descent


def test_in_floating_point_it_is_ep() -> None:
    found = agreement(interpreter(), fixed=False, samples=10, seed=3, timeout_s=120)
    assert found.correlation > 0.99999  # phases are left 2^-19 before their end
    assert found.gain == pytest.approx(1, abs=0.01)


def test_in_fixed_point_it_is_near(capsys: pytest.CaptureFixture[str]) -> None:
    interpreter()
    shown = call(capsys, "loihi", "learn", "--samples", 40, "--seed", 1, "--json").json
    assert list(shown) == ["fixed", "samples", "seed", "correlation", "gain", "saturated"]
    assert shown["fixed"] is True and shown["samples"] == 40
    # Seeds 0 to 4 gave 0.86, 0.79, 0.88, 0.73, 0.64, the same whenever they run.
    assert shown["correlation"] > 0.7
    assert 0.7 < shown["gain"] < 1.1
    assert shown["saturated"] < 0.2


def test_the_descent_is_that_of_the_squared_error() -> None:
    random = np.random.default_rng(0)
    weights, bias = random.normal(0, 0.1, (2, 3)), np.full(2, 0.5)
    inputs, target = random.uniform(0, 1, (1, 3)), random.uniform(0, 1, (1, 2))
    gradient = np.outer(weights @ inputs[0] + bias - target[0], inputs[0])
    moved = descent(weights, bias, inputs, target, rate=1e-3)
    np.testing.assert_allclose(moved, -1e-3 * gradient / 2, rtol=1e-9)  # beta 1: half of the way to the target


def test_no_samples() -> None:
    with pytest.raises(InputError, match="samples = 0: must be at least 1"):
        agreement(interpreter(), fixed=True, samples=0)
