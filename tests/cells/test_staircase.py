"""The pulse staircase: known cells go up and down by known steps, and show as many readings as a plot needs."""

from __future__ import annotations

import numpy as np
import pytest
from cell_arrays import device

from mep_hw.cards import load_device
from mep_hw.cells.staircase import staircase


def test_equal_steps_reach_the_bound_and_come_back() -> None:
    card = device("fefet", dw_min=0.05)
    stairs = staircase(card)
    assert stairs.turn == 60 and stairs.bounds == (-1.0, 1.0)
    assert stairs.pulses.tolist() == list(range(121)) and stairs.weights.shape == (121, 200)
    up = np.minimum(-1 + 0.05 * np.arange(61), 1)
    expected = np.concatenate([up, np.maximum(1 - 0.05 * np.arange(1, 61), -1)])
    assert np.abs(stairs.weights - expected[:, None]).max() < 1e-9


def test_fine_steps_are_read_less_often() -> None:
    stairs = staircase(load_device("gokmen-vlasov"))
    assert stairs.turn == 1875 and len(stairs.pulses) <= 302
    assert stairs.pulses[-1] == 2 * 1875 and 1875 in stairs.pulses
    assert stairs.weights[0].mean() == pytest.approx(-1, abs=0.1)
    assert stairs.weights.max(axis=0).mean() == pytest.approx(1, abs=0.15)  # some cells are too slow
