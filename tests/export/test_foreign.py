"""NIR files of others (written with the library itself): chains of layers become models, anything else is named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch

from mep_hw.activation import NAMED, Box
from mep_hw.errors import ModelError, Notice
from mep_hw.export import from_nir

RANDOM = np.random.default_rng(0)


def drawn(*shape: int, dtype: str = "float32") -> Any:
    return RANDOM.normal(size=shape).astype(dtype)


def units(*shape: int, r: float = 1.0, leak: float = 0.0) -> nir.LI:
    full = (np.full(shape, value, dtype=np.float32) for value in (0.02, r, leak))
    return nir.LI(*full)


def chain(
    *nodes: nir.NIRNode,
    shape: tuple[int, ...] = (3,),
    out: tuple[int, ...] = (2,),
    back: dict[str, Any] | None = None,
) -> nir.NIRGraph:
    """input -> n0 -> n1 ... -> output, and named nodes that lead from one of them to another: (node, from, to)."""
    inside: dict[str, nir.NIRNode] = {f"n{k}": node for k, node in enumerate(nodes)}
    ends = {"input": nir.Input({"input": np.array(shape)}), "output": nir.Output({"output": np.array(out)})}
    names = ["input", *inside, "output"]
    edges = list(zip(names, names[1:], strict=False))
    for name, (node, start, end) in (back or {}).items():
        inside[name] = node
        edges += [(start, name), (name, end)]
    return nir.NIRGraph({**ends, **inside}, edges)


def test_a_chain_becomes_a_model(tmp_path: Path) -> None:
    first, second = nir.Affine(drawn(4, 3), drawn(4)), nir.Linear(drawn(2, 4))
    nir.write(tmp_path / "other.nir", chain(first, units(4), second, units(2)))
    with pytest.warns(
        Notice, match=r"other.nir was not written by mep_hw; .* symmetric .* hidden units as hard_sigmoid"
    ):
        model = from_nir(tmp_path / "other.nir")
    assert model.name == "3-4-2" and model.weights[0].dtype == torch.float32
    assert torch.equal(model.weights[0], torch.from_numpy(first.weight))
    assert torch.equal(model.weights[1], torch.from_numpy(second.weight))
    assert model.biases[0] is not None and torch.equal(model.biases[0], torch.from_numpy(first.bias))
    assert model.biases[1] is None and model.layers[0].activation == NAMED["hard_sigmoid"]
    assert model(torch.ones(1, 3)).isfinite().all()


@pytest.mark.filterwarnings("ignore::mep_hw.errors.Notice")
def test_a_convolutional_chain_becomes_a_model(tmp_path: Path) -> None:
    nodes = [
        nir.Conv2d(None, drawn(3, 2, 3, 3), 1, "same", 1, 1, drawn(3)),
        nir.AvgPool2d(*(np.array([n, n]) for n in (2, 2, 0))),
        nir.I(np.ones((3, 4, 4), dtype=np.float32)),
        nir.Flatten({"input": None}, 0, -1),
        nir.Affine(drawn(2, 48), drawn(2)),
    ]
    nir.write(tmp_path / "other.nir", chain(*nodes, shape=(2, 8, 8)))
    model = from_nir(tmp_path / "other.nir", activation="tanh")
    assert model.name == "2x8x8-3x4x4-2" and model.layers[0].activation == NAMED["tanh"]
    x = torch.from_numpy(drawn(1, 2, 8, 8))
    wanted = torch.nn.functional.avg_pool2d(
        torch.nn.functional.conv2d(x, torch.from_numpy(nodes[0].weight), torch.from_numpy(nodes[0].bias), padding=1), 2
    )
    drive = model.couplings[0].forward(x, model.weights[0]) + model.biases[0]
    assert torch.allclose(drive, wanted, atol=1e-6)


@pytest.mark.filterwarnings("ignore::mep_hw.errors.Notice")
def test_gains_and_leaks_become_boxes_and_float64_stays() -> None:
    nodes = (
        nir.Linear(drawn(4, 3, dtype="float64")),
        units(4, r=0.5, leak=0.25),
        nir.Linear(drawn(2, 4, dtype="float64")),
    )
    model = from_nir(chain(*nodes), activation="clipped_relu")
    assert model.layers[0].activation == Box(0.0, 6.0, 0.5, 0.25) and model.weights[1].dtype == torch.float64


@pytest.mark.filterwarnings("ignore::mep_hw.errors.Notice")
def test_a_cycle_is_taken_where_it_is_symmetric_and_named_where_not() -> None:
    weight = drawn(2, 4)
    nodes = nir.Affine(drawn(4, 3), drawn(4)), units(4), nir.Affine(weight, drawn(2)), units(2)
    kept = from_nir(chain(*nodes, back={"home": (nir.Linear(weight.T.copy()), "n3", "n1")}))
    assert torch.equal(kept.weights[1], torch.from_numpy(weight))
    changed = weight.T.copy()
    changed[0, 0] += 1e-6
    biased = nir.Affine(weight.T.copy(), np.ones(4, dtype=np.float32))
    for node in (nir.Linear(changed), biased):
        with pytest.raises(ModelError, match="graph: cycle of n2 and home: is not symmetric"):
            from_nir(chain(*nodes, back={"home": (node, "n3", "n1")}))
    with pytest.raises(ModelError, match="graph: cycle of n3 and home: is not symmetric"):
        from_nir(chain(*nodes, back={"home": (nir.Linear(drawn(2, 2)), "n3", "n3")}))


def spiking(*shape: int) -> nir.LIF:
    return nir.LIF(*(np.ones(shape) for _ in range(4)))


AFFINE = nir.Affine(drawn(4, 3), drawn(4))
READ_OUT = nir.Affine(drawn(2, 4), drawn(2))
INFINITE = nir.Affine(np.full((4, 3), np.inf), drawn(4))
DILATED = nir.Conv2d(None, drawn(2, 2, 2, 2), 1, 0, 2, 1, drawn(2))
OBLONG = nir.Conv2d(None, drawn(2, 2, 3, 3), (1, 2), 0, 1, 1, drawn(2))
EVEN = nir.Conv2d(None, drawn(2, 2, 2, 2), 1, "same", 1, 1, drawn(2))
REFUSED: dict[str, tuple[nir.NIRGraph, str]] = {
    "spiking": (chain(AFFINE, spiking(4), READ_OUT), "node n1 (LIF): has no counterpart in a model; use Input, Output"),
    "scale": (chain(nir.Scale(np.ones(3)), AFFINE, units(4), READ_OUT), "node n0 (Scale): has no counterpart"),
    "no units": (chain(AFFINE, READ_OUT), "node n1 (Affine): follows n0 without units between them"),
    "no weights": (chain(units(3), AFFINE, units(4), READ_OUT), "node n0 (LI): has no weights before it"),
    "twice units": (chain(AFFINE, units(4), units(4), READ_OUT), "node n2 (LI): has no weights before it"),
    "nothing": (nir.NIRGraph.from_list(nir.Flatten({"input": np.array([2])}, 0)), "nodes: hold no Affine, Linear or"),
    "branch": (
        chain(AFFINE, units(4), READ_OUT, back={"over": (nir.Linear(drawn(2, 3)), "input", "output")}),
        "node input (Input): must lead to one next node, and leads to n0, over",
    ),
    "read-out": (chain(AFFINE, units(4), READ_OUT, units(2, r=2)), "node n3 (LI): is the read-out, which has r = 1"),
    "gain": (
        chain(AFFINE, nir.LI(np.ones(4), np.arange(1.0, 5.0), np.zeros(4)), READ_OUT),
        "node n1 (LI): must have one r above 0 and one v_leak for all units",
    ),
    "infinite": (chain(INFINITE, units(4), READ_OUT), "node n0 (Affine): holds a number that is not finite"),
    "dilation": (
        chain(DILATED, units(2, 1, 1), nir.Flatten({"input": None}, 0), nir.Linear(drawn(2, 2)), shape=(2, 3, 3)),
        "node n0 (Conv2d): must have groups 1, dilation 1 and a square kernel",
    ),
    "oblong": (
        chain(OBLONG, units(2, 1, 1), nir.Flatten({"input": None}, 0), nir.Linear(drawn(2, 2)), shape=(2, 3, 3)),
        "node n0 (Conv2d): has stride (1, 2), which is not square",
    ),
    "even": (
        chain(EVEN, units(2, 2, 2), nir.Flatten({"input": None}, 0), nir.Linear(drawn(2, 8)), shape=(2, 2, 2)),
        "node n0 (Conv2d): pads one side more than the other",
    ),
    "flatten": (
        chain(nir.Flatten({"input": None}, 1), nir.Linear(drawn(4, 2, 2)), shape=(4, 2), out=(4, 2)),
        "node n0 (Flatten): flattens only some dimensions",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_counterpart_is_named(case: str, tmp_path: Path) -> None:
    graph, message = REFUSED[case]
    nir.write(tmp_path / "other.nir", graph)
    with pytest.raises(ModelError, match=re.escape(f"{tmp_path}/other.nir: {message}")) as refused:
        from_nir(tmp_path / "other.nir")
    assert "\n" not in str(refused.value)


def test_units_of_a_gain_must_be_boxes_and_activations_be_known() -> None:
    graph = chain(AFFINE, units(4, r=0.5), READ_OUT)
    with pytest.raises(
        ModelError, match=r"node n1 \(LI\): has r = 0.5 and v_leak = 0, which tanh units have no place for"
    ):
        from_nir(graph, activation="tanh")
    with pytest.raises(ModelError, match="activation = relu: must be one of hard_sigmoid, clipped_relu, sigmoid, tanh"):
        from_nir(graph, activation="relu")  # pyright: ignore[reportArgumentType]


def test_a_graph_inside_a_graph_and_two_inputs_are_named() -> None:
    inner = nir.NIRGraph.from_list(nir.Linear(drawn(4, 3)))
    with pytest.raises(ModelError, match=r"node n0 \(NIRGraph\): has no counterpart"):
        from_nir(chain(inner, units(4), READ_OUT))
    graph = chain(AFFINE, units(4), READ_OUT, back={"b": (nir.Linear(drawn(4, 3)), "input", "n1")})
    graph.nodes["again"] = nir.Input({"input": np.array([3])})
    with pytest.raises(ModelError, match="inputs = input, again: there must be exactly one Input"):
        from_nir(graph)
