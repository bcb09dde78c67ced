"""Spiking graphs: their rates follow the settled states, calibration helps, and what has no such form is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from nir_cases import case, through_file

import mep_hw
from mep_hw import spec
from mep_hw.data import as_data
from mep_hw.errors import DataError, ModelError
from mep_hw.export import from_nir, to_spiking_nir
from mep_hw.export.measure import measure
from mep_hw.export.simulate import simulate
from mep_hw.export.spiking import Pair, box_of, spiking_graph, start
from mep_hw.model import Model

DIGITS = as_data("digits")
HELD_OUT = DIGITS.test_x[:100], DIGITS.test_y[:100]


@pytest.fixture(scope="module")
def trained() -> Model:
    return mep_hw.train(mep_hw.mlp(64, 24, 10), DIGITS, epochs=8, centre=True, progress=False).model


def test_rates_on_held_out_digits_follow_the_model(trained: Model, tmp_path: Path) -> None:
    graph = through_file(to_spiking_nir(trained, DIGITS.x[:150]), tmp_path)
    found = measure(graph, trained, *HELD_OUT)
    assert found.rate_error is not None and 0 < found.rate_error < 0.03  # measured: 0.017
    assert found.model_accuracy > 0.85 and abs(found.accuracy - found.model_accuracy) <= 0.03
    assert found.agreement > 0.95
    straight = {n: Pair(b, start(b, b.low), start(b, b.high)) for n, b in ((1, box_of(trained, 1)),)}
    before = measure(spiking_graph(trained, straight), trained, *HELD_OUT)
    assert before.rate_error is not None and found.rate_error < 0.95 * before.rate_error
    with pytest.raises(ModelError, match="mep_profile = spiking: is not 'rate'"):
        from_nir(graph)


def test_the_measure_sees_a_wrong_graph(trained: Model) -> None:
    graph = to_spiking_nir(trained, DIGITS.x[:150])
    graph.nodes["back_weights_2"].weight *= -1
    found = measure(graph, trained, *HELD_OUT)
    assert found.rate_error is not None and found.rate_error > 0.05


@pytest.mark.parametrize("kind", ["box", "skip", "conv", "cross_entropy"])
def test_every_kind_of_coupling_has_its_signs_and_scales(kind: str) -> None:
    model, x, _ = case(kind)
    graph = to_spiking_nir(model, x)
    found = simulate(graph, x.flatten(1).numpy(), seconds=0.8, average=0.5, dt=0.0005)
    assert np.abs(found.output - model(x).numpy()).max() < 0.1  # of outputs between -3 and 3


def test_a_model_without_hidden_layers_has_no_rates() -> None:
    model = mep_hw.mlp(64, 10)
    found = measure(to_spiking_nir(model, DIGITS.x[:10]), model, DIGITS.test_x[:20], DIGITS.test_y[:20])
    assert found.rate_error is None and found.rate_error_max is None and found.agreement == 1


def test_what_has_no_spiking_form_is_refused() -> None:
    with pytest.raises(ModelError, match="activation of layer 1 = tanh: has no form as rates"):
        to_spiking_nir(mep_hw.mlp(3, 2, 2, activation="tanh"), torch.ones(1, 3))
    with pytest.raises(DataError, match="samples = 0: there must be at least one"):
        to_spiking_nir(mep_hw.mlp(3, 2, 2), torch.ones(0, 3))
    with pytest.raises(DataError, match="input shape"):
        to_spiking_nir(mep_hw.mlp(3, 2, 2), torch.ones(5, 4))


def test_silent_units_keep_the_straight_line() -> None:
    silent = {"low": 50.0, "high": 51.0}
    model = Model(spec.parse({"input": [3], "layers": [{"dense": 2, "activation": silent}, {"dense": 2}]}))
    model.biases[0] = torch.zeros(2)
    graph, box = to_spiking_nir(model, torch.zeros(4, 3)), box_of(model, 1)
    assert graph.nodes["units_1"].v_leak[0] == np.float32(start(box, 50.0).leak)
