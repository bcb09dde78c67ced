"""Operations of events, by the wiring and by hand, and the model of their energy."""

from __future__ import annotations

import pytest
import torch

import mep_hw
from mep_hw.loihi.energy import energy_j, fan_outs, operations
from mep_hw.loihi.limits import load_chip
from mep_hw.loihi.wiring import wirings


def test_an_event_is_served_by_every_synapse_that_leaves_its_unit() -> None:
    model = mep_hw.mlp(6, 4, 3, 2)
    assert [float(each[0]) for each in fan_outs(model)] == [4, 3, 4 + 2, 3]
    events = [torch.tensor([1.0, 0, 0, 2, 0, 0]), torch.ones(4), torch.zeros(3), torch.tensor([0.0, 5])]
    assert operations(model, events) == 3 * 4 + 4 * 3 + 5 * 3


def test_units_of_a_convolution_at_the_edge_reach_fewer() -> None:
    model = mep_hw.convnet((2, 5, 4), (3,), kernel=3, pool=None, outputs=2)
    found = fan_outs(model)
    assert [each.shape for each in found] == [(2, 5, 4), (3, 3, 2), (2,)]
    first = next(w for w in wirings(model))
    assert float(found[0].sum()) == first.synapses
    assert float(found[0][1, 0, 0]) == 3 and float(found[0][0, 2, 1]) == 3 * 3 * 2  # one window, and six of them
    assert float(found[1].sum()) == 18 * 2 and float(found[2].sum()) == 18 * 2


def test_energy_is_that_of_operations_and_updates() -> None:
    assert energy_j(1000, 10, load_chip("loihi1")) == pytest.approx(1000 * 23.6e-12 + 10 * 81e-12)
    assert energy_j(1000, 10, load_chip("loihi2")) is None
