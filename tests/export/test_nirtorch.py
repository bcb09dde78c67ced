"""Another project's reader: files load in nirtorch with our node map and settle where the model does."""

from __future__ import annotations

from pathlib import Path

import nirtorch
import pytest
import torch
from nir_cases import DENSE_KINDS, LINEAR_KINDS, case, centre, settled_output, through_file
from torch import Tensor

from mep_hw.export import node_map, to_nir
from mep_hw.export.rate import Form
from mep_hw.model import Model

STEPS = 1000
FAR = 3e-3  # what a nudge or what is sent back has to move the read-out by, for a comparison to say something


def run(model: Model, x: Tensor, folder: Path, nudge: float | None = None, form: Form = "matrices") -> Tensor:
    graph = through_file(to_nir(model, nudge=nudge, form=form), folder)
    module = nirtorch.nir_to_torch(graph, node_map(), dtype=torch.float64)
    with torch.no_grad():
        output, state = module(x)
        for _ in range(STEPS):
            output, state = module(x, state)
    return output


@pytest.mark.parametrize("kind", LINEAR_KINDS)
def test_the_free_phase_settles_to_the_same_state(kind: str, tmp_path: Path) -> None:
    model, x, _ = case(kind)
    assert float((run(model, x.flatten(1), tmp_path) - settled_output(model, x)).abs().max()) < 1e-6


@pytest.mark.parametrize("beta", [0.5, -0.2])
@pytest.mark.parametrize("kind", [*DENSE_KINDS, "conv"])
def test_a_nudged_phase_settles_to_the_same_state(kind: str, beta: float, tmp_path: Path) -> None:
    model, x, y = case(kind)
    centre(model)
    found = run(model, torch.cat([x.flatten(1), y], 1), tmp_path, nudge=beta)
    assert float((found - settled_output(model, x, y, beta)).abs().max()) < 1e-6
    assert float((found - settled_output(model, x)).abs().max()) > FAR


def test_the_form_forward_computes_the_feed_forward_pass(tmp_path: Path) -> None:
    model, x, _ = case("conv")
    centre(model)
    value = model.centred(x)
    for coupling, weight, bias, layer in zip(model.couplings, model.weights, model.biases, model.layers, strict=True):
        drive = coupling.forward(value, weight)
        drive = drive if bias is None else drive + bias
        value = drive if layer.activation is None else layer.activation.rho(drive)
    found = run(model, x, tmp_path, form="forward")
    assert float((found - value).abs().max()) < 1e-6
    assert float((found - settled_output(model, x)).abs().max()) > FAR  # and not where the model settles
