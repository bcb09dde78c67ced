"""Graphs run in plain numpy: rate graphs settle as their models, spiking units fire at the rate the formula gives."""

from __future__ import annotations

import nir
import numpy as np
import pytest
from nir_cases import DENSE_KINDS, case, settled_output

from mep_hw.errors import ModelError
from mep_hw.export import to_nir
from mep_hw.export.simulate import simulate
from mep_hw.export.spiking import TAU_MEM, Curve
from mep_hw.export.units import DT


@pytest.mark.parametrize("kind", [*DENSE_KINDS, "conv"])
def test_a_rate_graph_settles_where_the_model_does(kind: str) -> None:
    model, x, y = case(kind)
    free = simulate(to_nir(model), x.flatten(1).numpy(), seconds=0.6, average=DT, dt=DT)
    assert np.abs(free.output - settled_output(model, x).numpy()).max() < 1e-6
    both = np.hstack([x.flatten(1).numpy(), y.numpy()])
    nudged = simulate(to_nir(model, nudge=0.5), both, seconds=0.6, average=DT, dt=DT)
    assert np.abs(nudged.output - settled_output(model, x, y, 0.5).numpy()).max() < 1e-6


@pytest.mark.parametrize("drive", [0.5, 1.2, 2.0, 5.0, 11.0])
def test_units_fire_at_the_rate_of_the_formula(drive: float) -> None:
    full = {name: np.array([value]) for name, value in {"r": 2.0, "v_leak": 0.3, "v_threshold": 1.0}.items()}
    cell = nir.CubaLIF(tau_syn=np.array([0.02]), tau_mem=np.array([TAU_MEM]), v_reset=np.zeros(1), **full)
    graph = nir.NIRGraph.from_list(cell)
    found = simulate(graph, np.array([[(drive - 0.3) / 2]]), seconds=10, average=9, dt=0.0005)
    wanted = float(Curve(2.0, 0.3).rate(np.array((drive - 0.3) / 2)))
    assert (wanted == 0) == (drive < 1)
    assert float(found.output[0, 0]) == pytest.approx(wanted, rel=0.03)  # whole steps between spikes


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (nir.NIRGraph.from_list(nir.IF(np.ones(2), np.ones(2))), "node if = IF: is not simulated"),
        (
            nir.NIRGraph(
                {"input": nir.Input({"input": np.array([2])}), "a": nir.Scale(np.ones(2)), "b": nir.Scale(np.ones(2)),
                 "output": nir.Output({"output": np.array([2])})},
                [("input", "a"), ("a", "b"), ("b", "a"), ("b", "output")],
            ),
            "nodes = a, b: form a cycle without units in it",
        ),
    ],
    ids=["unknown", "cycle"],
)  # fmt: skip
def test_what_cannot_be_run_is_named(graph: nir.NIRGraph, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        simulate(graph, np.ones((1, 2)), seconds=0.1, average=0.1, dt=0.001)


def test_times_must_fit_together() -> None:
    graph = nir.NIRGraph.from_list(nir.Scale(np.ones(2)))
    with pytest.raises(ModelError, match="needs 0 < dt <= average <= seconds"):
        simulate(graph, np.ones((1, 2)), seconds=0.1, average=0.2, dt=0.001)
