"""Loihi as a machine: what it holds, starts from and refuses; that a trained model is the same on the next one."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from helpers import card, machine
from torch import Tensor

import mep_hw
from mep_hw import spec
from mep_hw.data import Data
from mep_hw.errors import CapabilityError, CardError
from mep_hw.gradcheck import gradient_check
from mep_hw.model import Model, convnet, load, mlp
from mep_hw.state import Nudge, Settled
from mep_hw.substrates.loihi import Loihi


def batch(model: Model, samples: int = 6, seed: int = 0) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    x = torch.rand(samples, *model.input_shape, generator=random)
    return x, torch.eye(model.outputs)[torch.arange(samples) % model.outputs]


def both(built: Loihi, x: Tensor, y: Tensor, beta: float = 0.125) -> tuple[Settled, Settled]:
    free = built.settle(x)
    strengths = torch.tensor([beta] * len(x) + [-beta] * len(x))
    return free, built.settle(x, Nudge(strengths, y), free)


def loihi(model: Model, **changes: object) -> Loihi:
    built = machine(model, "loihi", **changes)
    assert isinstance(built, Loihi)
    return built


def test_states_are_whole_numbers_and_weights_whole_steps() -> None:
    built = loihi(mlp(8, 6, 3))
    free, nudged = both(built, *batch(built.model))
    for value in (*free.state, *nudged.state):
        whole = value.double() * 2**16
        assert torch.equal(whole, whole.round())
    for c, weights in enumerate(built.weights):
        form = built.card_of(c).registers
        assert form is not None and torch.equal(weights / form.step, (weights / form.step).round())
    assert float((nudged.state[0][:6] - nudged.state[0][6:]).abs().max()) > 2**-12  # the nudge arrives


@pytest.mark.parametrize("activation", ["hard_sigmoid", "clipped_relu", "tanh", "sigmoid"])
def test_states_approach_those_of_the_exact_machine_with_the_same_weights(activation: str) -> None:
    model = mlp(8, 7, 6, 3, activation=activation, seed=2)
    built = loihi(model, settle__free_sweeps=200)
    x, _ = batch(model)
    found = built.settle(x)
    built.store()
    exact = machine(model, "reference", settle__tolerance=1e-9).settle(x.double())
    assert max(float((a - b).abs().max()) for a, b in zip(found.state, exact.state, strict=True)) < 2e-3


def test_a_nudged_phase_goes_on_from_the_membranes_or_from_plain_states_alike() -> None:
    built = loihi(mlp(8, 6, 3))
    x, y = batch(built.model)
    free, nudged = both(built, x, y)
    again = built.settle(x, Nudge(torch.tensor([0.125] * 6 + [-0.125] * 6), y), free.bare())
    assert all(torch.equal(a, b) for a, b in zip(nudged.state, again.state, strict=True))


def test_what_a_machine_trained_the_next_one_holds_and_settles_alike(tmp_path: Path) -> None:
    run = mep_hw.train(mlp(64, 12, 10), backend="loihi", epochs=1, progress=False)
    first = loihi(run.model)
    run.model.save(tmp_path / "model.safetensors")
    second = loihi(load(tmp_path / "model.safetensors"))
    x, y = batch(run.model, 8)
    for c in range(2):
        assert torch.equal(first.read(c), run.model.weights[c]) and torch.equal(second.read(c), first.read(c))
    pairs = zip(both(first, x, y), both(second, x, y), strict=True)
    assert all(torch.equal(a, b) for one, two in pairs for a, b in zip(one.state, two.state, strict=True))


@pytest.mark.parametrize("start", ["as it was", "already trained"])
def test_a_resumed_run_ends_as_a_whole_one(tmp_path: Path, start: str) -> None:
    def train(model: Model, **options: object) -> Model:
        return mep_hw.train(model, backend="loihi", batch_size=64, progress=False, **options).model  # type: ignore[arg-type]

    whole = train(mlp(64, 8, 10), epochs=4, checkpoint=tmp_path / "whole.safetensors")
    stopped = mlp(64, 8, 10)

    def stop(info: object) -> None:
        if info.epoch == 3:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(stopped, epochs=4, checkpoint=tmp_path / "part.safetensors", on_step=stop)
    fresh = mlp(64, 8, 10) if start == "as it was" else stopped  # whose weights would give other steps
    resumed = train(fresh, epochs=4, checkpoint=tmp_path / "part.safetensors", resume=True)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_a_model_of_one_layer_and_average_pooling_settle() -> None:
    for model in (mlp(6, 3), convnet((1, 8, 8), (2,), kernel=3, outputs=3)):
        free, nudged = both(loihi(model), *batch(model))
        assert float(free.residual.max()) < 1e-3 and float(nudged.residual.max()) < 1e-3


BAD_CARDS = [
    ({"loihi": None}, "loihi = None: this substrate needs it"),
    ({"settle__tolerance": 1e-3}, "settle.tolerance = 0.001: must be 0, as a chip runs a fixed number of steps"),
    ({"settle__anderson": 3}, "settle.anderson = 3: must be 0"),
    ({"settle__euler_step": 0.3}, "settle.euler_step = 0.3: must be a power of two"),
    ({"settle__euler_step": None}, "settle.euler_step = None: this substrate needs a step"),
    ({"registers__bits": 9}, "registers.bits = 9: must be at most 8"),
    ({"registers": None}, "registers.bits = None: must be at most 8"),
    ({"registers__step": 0.1, "registers__step_by": "weight"}, "registers.step = 0.1: must be a power of two"),
    ({"loihi__batched": False}, "loihi.batched = False: is for Lava's simulation only"),
    ({"loihi__mode": "lava-float"}, "registers = 8 bits: must be null in floating point"),
    ({"loihi__mode": "lava-float", "registers": None}, "compute.dtype = float32: must be float64"),
    ({"loihi__payload_fraction": 13, "loihi__payload_bits": 13}, "payload_fraction must be below payload_bits"),
    ({"loihi__state_fraction": 8}, "payload_fraction must be at most state_fraction"),
    ({"loihi__timeout_s": 1e300}, "loihi.timeout_s = 1e+300: must be <= 1e+06"),
    ({"loihi__send_threshold": 10**30}, "loihi.send_threshold = 1000000000000000000000000000000: must be <= 1.67"),
]


@pytest.mark.parametrize(("changes", "message"), BAD_CARDS)
def test_cards_that_no_chip_follows_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(CardError) as caught:
        machine(mlp(4, 3, 2), "loihi", **changes)
    assert message in str(caught.value)


def boxes(**box: float) -> Model:
    layers = [{"dense": 4, "activation": box}, {"dense": 2}]
    return Model(spec.parse({"input": [3], "layers": layers}))


BAD_MODELS = [
    (mlp(4, 3, 2, cost="cross_entropy"), {}, "cost = cross_entropy: needs exponentials"),
    (convnet((1, 8, 8), (2,), kernel=3, pool="max"), {}, "max pooling: is no sum of synapses; use average pooling"),
    (boxes(gain=2.0), {}, "layer 1, gain = 2.0: must be 1"),
    (boxes(high=9.0), {}, "loihi.payload_bits = 14: cannot hold the states of layer 1"),
    (boxes(high=9.0), {"loihi__state_bits": 18, "loihi__state_fraction": 16}, "loihi.state_bits = 18: cannot hold"),
    (mlp(4, 3, 2, activation="tanh"), {"loihi__state_bits": 18}, "loihi.state_bits = 18: cannot hold"),
    (mlp(2000, 3, 2), {}, "layer 1 = a drive of up to 4227858432"),
]


@pytest.mark.parametrize(("model", "changes", "message"), BAD_MODELS)
def test_models_that_do_not_fit_are_refused_with_the_layer(
    model: Model, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(CapabilityError) as caught:
        machine(model, "loihi", **changes)
    assert message in str(caught.value)


@pytest.mark.parametrize("bias", [200.0, -math.inf, math.nan])
def test_biases_beyond_the_format_of_states_are_refused(bias: float) -> None:
    model = boxes()
    assert model.biases[0] is not None
    model.biases[0].fill_(bias)
    with pytest.raises(CapabilityError, match=f"layer 1 = a bias of {abs(bias):g}: must be below 128"):
        loihi(model)


def test_a_bias_that_is_written_is_settled_with_and_one_that_does_not_fit_changes_nothing() -> None:
    built = loihi(mlp(4, 3, 2))
    x, _ = batch(built.model, 2)
    before = built.settle(x).output
    built.write_bias(2, torch.tensor([1.0, -1.0]))
    after = built.settle(x).output
    assert float((after - before)[:, 0].min()) > 0.5 and float((after - before)[:, 1].max()) < -0.5
    with pytest.raises(CapabilityError, match="layer 2 = a bias of 200: must be below 128"):
        built.write_bias(2, torch.tensor([200.0, 0.0]))
    assert built.biases[1] is not None and built.biases[1].tolist() == [1.0, -1.0]
    assert torch.equal(built.settle(x).output, after)


@pytest.mark.parametrize("weight", [math.inf, math.nan])
def test_weights_that_are_no_numbers_are_refused(weight: float) -> None:
    model = mlp(4, 3, 2)
    model.weights[1][0, 0] = weight
    with pytest.raises(CapabilityError, match=f"coupling 2 has a weight of size {weight}"):
        loihi(model)


def test_drives_that_the_emulator_would_round_are_refused() -> None:
    """Weights so small that states count many bits in their scale, and steps too small to be whole."""
    model = mlp(4, 2)
    model.weights[0].mul_(1e-14)  # the emulator and Lava ended in other states
    with pytest.raises(CapabilityError, match="layer 1 = a drive of 71 bits: is exact up to 50 only; 46 of them"):
        loihi(model)
    with pytest.raises(CapabilityError, match="is exact up to 50 only; .* 30 for the step"):
        loihi(mlp(4, 2), settle__euler_step=2.0**-30)


def test_an_empty_batch_settles_to_an_empty_state() -> None:
    built = loihi(mlp(4, 3, 2))
    free, nudged = both(built, torch.zeros(0, 4), torch.zeros(0, 2))
    assert free.output.shape == nudged.output.shape == (0, 2)


def test_pools_over_three_are_refused() -> None:
    layers = [{"conv": {"channels": 2, "kernel": 3}, "after": [{"pool": "avg", "size": 3}]}, {"dense": 2}]
    layers[0]["activation"] = "hard_sigmoid"
    with pytest.raises(CapabilityError, match="pool of 3: averages over no power of two"):
        loihi(Model(spec.parse({"input": [1, 8, 8], "layers": layers})))


def test_inputs_strengths_and_weights_that_do_not_fit_are_refused() -> None:
    built = loihi(mlp(4, 3, 2))
    x, y = batch(built.model, 2)
    with pytest.raises(CapabilityError, match="inputs = 8.0: must be within -8 and 7.99902"):
        built.settle(torch.full((2, 4), 8.0))
    with pytest.raises(CapabilityError, match="beta = 0.1: must be a whole multiple of 0.00390625.*; take 0.101562"):
        built.settle(x, Nudge(torch.tensor([0.1, 0.1]), y))
    for target in (y * 200, y * math.nan):
        with pytest.raises(CapabilityError, match="target = (200.0|nan): must be below 128 to fit"):
            built.settle(x, Nudge(torch.tensor([0.125, 0.125]), target))
    for beta in (3.0, math.inf, math.nan):
        with pytest.raises(CapabilityError, match=f"beta = {beta}: must be below 3 in steps of 0.5, or the read-out"):
            built.settle(x, Nudge(torch.tensor([0.125, beta]), y))
    before = built.read(0)
    with pytest.raises(CapabilityError, match="coupling 0to1 has a weight of size|has a weight of size"):
        built.write(0, torch.full_like(before, 50.0))
    assert torch.equal(built.read(0), before)


def test_a_check_in_principle_is_turned_down_with_the_way_out() -> None:
    with pytest.raises(CapabilityError, match="check the machine as trained"):
        gradient_check(mlp(4, 3, 2), backend="loihi")
    report = gradient_check(mlp(8, 6, 3, activation="tanh"), backend="loihi", as_trained=True, samples=64)
    assert report.min_cosine is not None and report.min_cosine > 0.99


def test_other_machines_refuse_the_block() -> None:
    with pytest.raises(CardError, match="loihi: formats of Loihi are of no use to this substrate"):
        machine(mlp(4, 3, 2), "cpu", loihi=card("loihi").loihi.model_dump())  # type: ignore[union-attr]


def test_learning_needs_the_nudge_to_reach_the_hidden_layer() -> None:
    """Without the connections back, the hidden weights would get no contrast: a bar that a deaf machine misses."""
    model = mlp(6, 5, 3, seed=1)
    x, y = batch(model, 32)
    data = Data("random", x, y, x[:0], y[:0], 3)
    report = gradient_check(model, data, backend="loihi", as_trained=True)
    first = next(layer for layer in report.layers if layer.name.startswith("weights"))
    assert first.cosine is not None and first.cosine > 0.95
