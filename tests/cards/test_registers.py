"""Steps of registers that follow from the weights that a coupling starts with."""

from __future__ import annotations

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from mep_hw.cards.registers import RegisterFormat, fitted

FORM = RegisterFormat(bits=8, step=1 / 32, step_by="largest")


def test_a_step_in_units_of_weights_is_left_alone() -> None:
    plain = RegisterFormat(bits=8, step=0.1)
    assert fitted(plain, torch.tensor([3.0])) is plain


@pytest.mark.parametrize(("largest", "step"), [(1.0, 1 / 32), (0.9, 1 / 32), (1.1, 1 / 16), (0.3, 1 / 64)])
def test_the_step_is_a_power_of_two_with_room_for_growth(largest: float, step: float) -> None:
    found = fitted(FORM, torch.tensor([0.123456, -largest]))
    assert (found.step, found.step_by) == (step, "weight")
    assert found.high >= 3 * largest


@example(0, [1])  # 128 of the smallest step that seems to do are one too many
@given(st.integers(-12, 3), st.lists(st.integers(-128, 127), min_size=1, max_size=20))
def test_weights_that_registers_have_held_are_held_again_as_they_are(exponent: int, units: list[int]) -> None:
    weights = torch.tensor(units, dtype=torch.float64) * 2.0**exponent
    found = fitted(FORM, weights)
    steps = weights / found.step
    assert torch.equal(steps, steps.round())
    assert found.low <= float(weights.min()) and float(weights.max()) <= found.high


def test_fixed_weights_need_no_room_and_zeros_have_a_step() -> None:
    weights = torch.tensor([0.3])
    assert fitted(FORM, weights, fixed=True).step == 2**-8  # 127 of them are 0.496, of half of them 0.248
    assert fitted(FORM, torch.zeros(2)).step > 0
