"""Wiring against the couplings themselves: a synapse is where a unit of the source moves a unit of the target."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mep_hw
from mep_hw import spec
from mep_hw.errors import CapabilityError
from mep_hw.loihi.wiring import Wiring, wirings
from mep_hw.model import Model

POOL = {"pool": "avg", "size": 2}
CONV = {"channels": 3, "kernel": 3, "padding": 1}
MODELS: dict[str, dict[str, object]] = {
    "dense": {"input": [5], "layers": [{"dense": 4}, {"dense": 3}]},
    "skip": {"input": [5], "layers": [{"dense": 4}, {"dense": 4}, {"dense": 3}], "skips": [
        {"source": 0, "target": 2, "dense": True}, {"source": 1, "target": 3, "dense": True}]},
    "conv": {"input": [2, 5, 4], "layers": [{"conv": CONV}, {"dense": 3}]},
    "pooled": {"input": [1, 7, 9], "layers": [{"conv": CONV | {"stride": 2}, "after": [POOL]}, {"dense": 2}]},
    "overlapping": {"input": [1, 8, 8], "layers": [
        {"conv": CONV, "before": [{"pool": "avg", "size": 3, "stride": 2, "padding": 1}]}, {"dense": 2}]},
    "pooled dense": {"input": [2, 5, 5], "layers": [{"dense": 4, "before": [POOL]}, {"dense": 2}]},
    "identity": {"input": [1, 4, 4], "layers": [{"conv": CONV}, {"conv": CONV}, {"conv": CONV}, {"dense": 2}],
        "skips": [{"source": 1, "target": 3, "identity": 0.5}]},
}  # fmt: skip


def positions_first(flat: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """From torch's order, channels first, to that of wirings, along the first axis."""
    if len(shape) != 3:
        return flat
    channels, *rest = shape
    return flat.reshape(channels, rest[0] * rest[1], -1).swapaxes(0, 1).reshape(flat.shape)


def synapses(model: Model, wiring: Wiring) -> np.ndarray:
    """(target units, source units), by moving every unit of the coupling's lower layer with weights of one."""
    coupling = next(k for k in model.couplings if k.name == wiring.coupling)
    size = int(np.prod(coupling.source_shape))
    moved = torch.eye(size).view(size, *coupling.source_shape)
    found = coupling.forward(moved, torch.ones(coupling.weight_shape)).flatten(1).T.numpy() != 0
    found = positions_first(found, coupling.target_shape)
    found = positions_first(found.T, coupling.source_shape).T
    return found.T if wiring.backward else found


@pytest.mark.parametrize("name", list(MODELS))
def test_wiring_is_that_of_the_couplings(name: str) -> None:
    model = Model(spec.parse(MODELS[name]))
    found = wirings(model)
    assert len(found) == sum(2 if k.source else 1 for k in model.couplings)
    for wiring in found:
        true = synapses(model, wiring)
        assert wiring.synapses == true.sum()
        assert (wiring.fan_in, wiring.fan_out) == (true.sum(1).max(), true.sum(0).max())
        assert wiring.dense == bool(true.all())


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(list(MODELS)), st.data())
def test_what_a_core_hears_and_who_reaches_it(name: str, data: st.DataObject) -> None:
    model = Model(spec.parse(MODELS[name]))
    wiring = data.draw(st.sampled_from(wirings(model)))
    true = synapses(model, wiring)
    first = data.draw(st.integers(0, len(true) - 1))
    last = data.draw(st.integers(first + 1, len(true)))
    per_source = true[first:last].sum(0)
    assert sorted(wiring.heard(first, last)) == sorted(per_source[per_source > 0])
    one = data.draw(st.integers(0, true.shape[1] - 1))
    end = data.draw(st.integers(one + 1, true.shape[1]))
    assert wiring.reaching(one, end, (first, last)) == (per_source[one:end] > 0).sum()


def test_max_pooling_has_no_synapses() -> None:
    model = mep_hw.convnet((1, 8, 8), (2,), kernel=3, pool="max")
    with pytest.raises(CapabilityError, match="layer 1: pool = max: chooses its source by the state"):
        wirings(model)
