"""Models: the energy against a hand-written sum, initial weights, shapes, and files that come back as they went."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from problems import KINDS, problem, structure

from mep_hw import spec
from mep_hw.coupling import Coupling
from mep_hw.errors import CheckpointError, InputError, ModelError
from mep_hw.files import write_tensors
from mep_hw.initial import HIDDEN_NORM, INPUT_GAIN
from mep_hw.model import Model, convnet, load, mlp


def small(cost: str) -> Model:
    """2 inputs, 2 hidden, 1 output and a skip from input to output, with round numbers."""
    model = mlp(2, 2, 1, cost=cost, skips=[(0, 2)], dtype=torch.float64)
    values = [[[1.0, 2.0], [0.0, -1.0]], [[3.0, 0.5]], [[0.25, -2.0]]]
    for weight, value in zip(model.weights, values, strict=True):
        weight.copy_(torch.tensor(value))
    for bias, value in zip(model.biases, ([0.5, 1.0], [-1.0]), strict=True):
        assert bias is not None
        bias.copy_(torch.tensor(value))
    return model


def test_energy_of_a_small_model_by_hand() -> None:
    x = torch.tensor([[2.0, -1.0], [0.0, 0.0]], dtype=torch.float64)
    state = [torch.tensor([[0.5, 0.25], [1.0, 0.0]]).double(), torch.tensor([[2.0], [-1.0]]).double()]
    # First sample: potentials .125 + .03125 + 2; biases .25 + .25 - 2; hidden <s, W x> = .5*0 + .25*1; read-out drive
    # 3*.5 + .5*.25 = 1.625, skip .25*2 + 2 = 2.5, both times s = 2. Second: x = 0, potentials .5 + .5, biases .5 + 1,
    # read-out -1 * 3.
    first = 0.125 + 0.03125 + 2 - (0.25 + 0.25 - 2) - 0.25 - 2 * 1.625 - 2 * 2.5
    second = 1.0 - 1.5 + 3.0
    assert small("squared_error").energy(state, x).tolist() == pytest.approx([first, second], abs=1e-12)
    # With cross entropy the read-out, its bias and what feeds it are not part of the energy.
    outside = [0.125 + 0.03125 - 0.5 - 0.25, 0.5 - 0.5]
    assert small("cross_entropy").energy(state, x).tolist() == pytest.approx(outside, abs=1e-12)


def test_a_convolutional_energy_uses_one_bias_per_channel() -> None:
    model = convnet((1, 4, 4), (2,), kernel=3, pool=None, outputs=1, dtype=torch.float64)
    for weight in model.weights:
        weight.zero_()
    assert model.biases[0] is not None and model.biases[0].shape == (2, 1, 1)
    model.biases[0].copy_(torch.tensor([1.0, 3.0]).reshape(2, 1, 1))
    state = [torch.ones(1, 2, 2, 2, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)]
    assert float(model.energy(state, torch.ones(1, 1, 4, 4).double())) == pytest.approx(8 / 2 - 4 * 1 - 4 * 3)


def matrix(coupling: Coupling, weight: torch.Tensor) -> torch.Tensor:
    """The (target, source) matrix of a coupling without max pooling."""
    count = int(torch.tensor(coupling.source_shape).prod())
    basis = torch.eye(count, dtype=torch.float64).reshape(count, *coupling.source_shape)
    return coupling.forward(basis, weight.double()).flatten(1).T


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "maxpool"])
def test_couplings_between_layers_start_below_the_bound(kind: str) -> None:
    model = structure(kind)
    for coupling, weight in zip(model.couplings, model.weights, strict=True):
        norm = float(torch.linalg.matrix_norm(matrix(coupling, weight), 2))
        if coupling.source > 0:
            assert 0.1 < norm <= HIDDEN_NORM * 1.005, coupling.name  # power iteration finds a lower bound


def test_input_weights_are_not_bounded() -> None:
    weight = mlp(50, 400, 10).weights[0]
    assert float(weight.std()) == pytest.approx(INPUT_GAIN * 50**-0.5, rel=0.02)
    assert float(torch.linalg.matrix_norm(weight, 2)) > 2 * HIDDEN_NORM


def test_the_seed_decides_the_weights() -> None:
    for build in (lambda seed: mlp(5, 4, 3, seed=seed), lambda seed: convnet((1, 8, 8), (2,), kernel=3, seed=seed)):
        same, again, other = build(3).weights, build(3).weights, build(4).weights
        assert all(torch.equal(a, b) for a, b in zip(same, again, strict=True))
        assert not any(torch.equal(a, b) for a, b in zip(same, other, strict=True))
    assert not torch.equal(mlp(4, 4, 4, 4).weights[1], mlp(4, 4, 4, 4).weights[2])


def test_shapes_and_names() -> None:
    model = convnet()
    assert [k.shape for k in model.layers] == [(32, 12, 12), (64, 4, 4), (10,)]
    assert [w.shape for w in model.weights] == [(32, 1, 5, 5), (64, 32, 5, 5), (10, 1024)]
    assert model.name == "1x28x28-32x12x12-64x4x4-10" and model.outputs == 10 and model.depth == 3
    padded = convnet((3, 8, 8), (4,), kernel=3, padding=1, pool=None, hidden=(7,), outputs=2)
    assert [k.shape for k in padded.layers] == [(4, 8, 8), (7,), (2,)]
    assert mlp(784, 512, 10).name == "784-512-10" and mlp(4, 2).depth == 1
    skips = problem("skip").model
    assert skips.incoming[4] == [3, 5, 6] and skips.outgoing[0] == [0, 4, 6]
    assert skips.trainable == [0, 1, 2, 3, 4, 5, 6] and float(skips.weights[7]) == 0.3
    assert mlp(3, 2, 2, activation="tanh").smooth and not mlp(3, 2, 2).smooth


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_save_and_load(tmp_path: Path, kind: str, dtype: torch.dtype) -> None:
    model = problem(kind, dtype=dtype).model
    model.save(tmp_path / "m.safetensors")
    found = load(tmp_path / "m.safetensors")
    assert found.spec == model.spec
    mine, theirs = model.tensors(), found.tensors()
    assert mine.keys() == theirs.keys() and len(mine) == len(model.weights) + sum(b is not None for b in model.biases)
    assert all(torch.equal(theirs[name], value) and theirs[name].dtype == dtype for name, value in mine.items())
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "m.safetensors"
    mlp(4, 3, 2).save(path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        load(path)


def test_files_of_others_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    tensors = mlp(4, 3, 2).tensors()
    written = json.dumps(mlp(4, 3, 2).spec.as_dict())
    wrong: list[tuple[dict[str, torch.Tensor], dict[str, str], str]] = [
        (tensors, {}, "holds no model description"),
        (tensors, {"model": "{"}, "no valid model description"),
        (tensors, {"model": "[]"}, "no valid model description"),
        (tensors, {"model": json.dumps({"input": [4], "layers": [{"dense": 0}]})}, "no valid model description.*dense"),
        ({"weights.1": tensors["weights.1"]}, {"model": written}, "weights.2 = absent"),
        (tensors | {"weights.1": torch.ones(4, 3)}, {"model": written}, r"weights.1 = \(4, 3\): .* shape \(3, 4\)"),
    ]
    for content, metadata, message in wrong:
        write_tensors(path, content, metadata)
        with pytest.raises(CheckpointError, match=message):
            load(path)
    path.write_text("not tensors at all, but long enough to hold a header")
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        load(path)
    for absent in (tmp_path, tmp_path / "gone"):
        with pytest.raises(CheckpointError, match="does not exist"):
            load(absent)


def test_saving_into_a_missing_folder_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written to"):
        mlp(4, 2).save(tmp_path / "gone" / "m.safetensors")


def test_descriptions_that_do_not_fit_together() -> None:
    with pytest.raises(ModelError, match="sizes"):
        mlp(4)
    with pytest.raises(ModelError, match="cost = hinge"):
        mlp(4, 2, cost="hinge")
    with pytest.raises(ModelError, match="low < high"):
        mlp(4, 3, 2, activation=spec.BoxSpec(low=1.0, high=0.0))
    description = {"input": [4], "layers": [{"dense": 3}, {"dense": 5}, {"dense": 2}]}
    with pytest.raises(ModelError, match=r"skip 0to2 = \(4,\): must give the shape \(5,\) of layer 2"):
        Model(spec.parse(description | {"skips": [{"source": 0, "target": 2, "identity": 1.0}]}))
    with pytest.raises(ModelError, match="does not fit"):
        convnet((1, 8, 8), (2, 2), kernel=5)


def test_a_file_that_does_not_fit_changes_nothing() -> None:
    """The last tensor is wrong, or the offset."""
    for name, shape in (("biases.2", (3,)), ("offset", (5,))):
        model, other = mlp(4, 3, 2), mlp(4, 3, 2, seed=1)
        other.offset = torch.ones(4)
        before = {key: value.clone() for key, value in model.tensors().items()}
        with pytest.raises(CheckpointError, match=f"{name} = "):
            model.load_tensors(other.tensors() | {name: torch.ones(shape)}, "a file")
        assert model.offset is None
        assert all(torch.equal(value, before[key]) for key, value in model.tensors().items())
