"""The FPGA as a machine: it computes what the oracle does, learns by itself as the oracle does, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fpga_programs
import numpy as np
import pytest
import torch
from helpers import card, machine
from torch import Tensor

import mep_hw
from mep_hw import spec as specs
from mep_hw.cards import BackendCard
from mep_hw.data import Data
from mep_hw.errors import CapabilityError, CardError, DataError, MachineError
from mep_hw.fpga import oracle
from mep_hw.fpga.numbers import whole_inputs, whole_targets
from mep_hw.fpga.quantised import dequantised
from mep_hw.fpga.spec import Values, Whole
from mep_hw.gradcheck import gradient_check
from mep_hw.model import Model, convnet, load, mlp
from mep_hw.outersum import OuterSum
from mep_hw.schedule import Registers, Schedule
from mep_hw.state import Nudge, Settled
from mep_hw.substrates.fpga import Fpga

CHIP = dict(
    fpga__learning="chip", training__rule="hebbian", training__lr=0.03125, training__batch_size=1,
    training__momentum=0.0, training__lr_schedule="constant", training__epochs=1,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _compiler(request: pytest.FixtureRequest) -> Iterator[None]:
    fpga_programs.need("g++")
    yield


def fpga(model: Model, **changes: object) -> Fpga:
    built = machine(model, "fpga", **changes)
    assert isinstance(built, Fpga)
    return built


def batch(model: Model, samples: int = 6, seed: int = 0) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    x = torch.rand(samples, *model.input_shape, generator=random)
    return x, torch.eye(model.outputs)[torch.arange(samples) % model.outputs]


def both(built: Fpga, x: Tensor, y: Tensor, beta: float = 0.125) -> tuple[Settled, Settled]:
    free = built.settle(x)
    strengths = torch.tensor([beta] * len(x) + [-beta] * len(x))
    return free, built.settle(x, Nudge(strengths, y), free)


def whole(built: Fpga, settled: Settled) -> list[Whole]:
    steps = [layer.state.fraction for layer in built.spec.layers[1:]]
    return [(s.double() * 2.0**f).numpy().astype(np.int64) for s, f in zip(settled.state, steps, strict=True)]


def held(values: Values) -> list[Whole]:
    return [*values.weights, *values.biases]


def boxes(bias: float | None = None, **box: float) -> Model:
    layers = [{"dense": 4, "activation": box}, {"dense": 2}]
    model = Model(specs.parse({"input": [4], "layers": layers}))
    if bias is not None and model.biases[0] is not None:
        model.biases[0].fill_(bias)
    return model


@pytest.mark.parametrize("model", [mlp(8, 6, 3), mlp(8, 7, 6, 3, seed=2), boxes(low=-1.0, high=0.5, offset=0.25)])
def test_phases_are_those_of_the_oracle_bit_for_bit(model: Model) -> None:
    built = fpga(model)
    x, y = batch(model, 19)
    free, nudged = both(built, x, y)
    spec = built.spec
    expected = oracle.run(spec, built.values, whole_inputs(spec, x), whole_targets(spec, y))
    for row, states in enumerate((expected.free, expected.plus, expected.minus)):
        found = whole(built, free if row == 0 else nudged)
        for a, b in zip(found, states, strict=True):
            np.testing.assert_array_equal(a[len(x) * max(0, row - 1) :][: len(x)], b)
    assert any((a != b).any() for a, b in zip(expected.plus, expected.minus, strict=True))


def test_what_it_holds_is_what_it_says_it_holds() -> None:
    model = boxes(low=-0.5, high=1.0, offset=0.25)
    built = fpga(model)
    x, _ = batch(model, 4)
    built.apply(0, Schedule((Registers(OuterSum(torch.ones(4, 1), torch.ones(4, 1)) * 0.25),), torch.zeros(4, 4)))
    built.write(1, built.read(1) * 0.5)
    built.write_bias(1, torch.tensor([0.5, -0.25, 0.0, 0.125]))
    exact = dequantised(built.spec, built.values)
    for c in range(2):
        assert torch.equal(exact.weights[c], built.read(c).double())
    assert exact.biases[0] is not None and exact.biases[0].tolist() == [0.75, 0.0, 0.25, 0.375]  # with the offset
    settled = machine(exact, "reference", compute__dtype="float64", settle__tolerance=1e-9).settle(x.double())
    found = fpga(model, settle__free_sweeps=200)
    found.restore(built.snapshot())
    gaps = [(a - b).abs().max() for a, b in zip(found.settle(x).state, settled.state, strict=True)]
    assert float(max(gaps)) < 1e-3  # inputs are rounded to 2^-11


def test_a_nudged_phase_goes_on_from_what_is_kept_or_from_plain_states_alike() -> None:
    built = fpga(mlp(8, 6, 3))
    x, y = batch(built.model)
    free, nudged = both(built, x, y)
    again = built.settle(x, Nudge(torch.tensor([0.125] * 6 + [-0.125] * 6), y), free.bare())
    assert all(torch.equal(a, b) for a, b in zip(nudged.state, again.state, strict=True))
    assert float(free.residual.max()) < 1e-4


def test_a_stronger_nudge_than_the_cards_gets_room_in_the_sums() -> None:
    built = fpga(mlp(8, 6, 3), training__beta=0.0078125)
    assert built.spec.beta == 2
    both(built, *batch(built.model), beta=0.75)
    assert built.spec.beta == 192


def trained(backend: BackendCard, model: Model, **options: object) -> Model:
    return mep_hw.train(model, backend=backend, progress=False, **options).model  # type: ignore[arg-type]


def data(count: int = 12) -> Data:
    x, y = batch(mlp(8, 6, 3), count)
    return Data("random", x, y, x[:0], y[:0], 3)


def test_a_chip_learns_as_the_oracle_does_one_job_after_the_other() -> None:
    model, given = mlp(8, 6, 3), data()
    start = fpga(mlp(8, 6, 3), **CHIP)
    learn = start.learner(0.125, [0.03125] * 2, [0.03125] * 2, [0, 1], [1, 2])
    spec, values = start.spec, start.values
    x, y = whole_inputs(spec, given.x), whole_targets(spec, given.y)
    jobs, expected = oracle.execute(spec, values, x, y, learning=True)
    for row in range(len(x)):
        free, cost = learn(given.x[row : row + 1], given.y[row : row + 1])
        assert cost.cycles == 2
        for a, b in zip(whole(start, free), jobs.free, strict=True):
            np.testing.assert_array_equal(a[0], b[row])
    for a, b in zip(held(start.values), held(expected), strict=True):
        np.testing.assert_array_equal(a, b)
    for c, (weights, form) in enumerate(zip(expected.weights, spec.weights, strict=True)):
        assert torch.equal(start.read(c), torch.from_numpy(weights * form.step).float())
    assert any((a != b).any() for a, b in zip(expected.weights, values.weights, strict=True))
    run = trained(card("fpga", **CHIP), model, data=given)
    assert not torch.equal(run.weights[0], mlp(8, 6, 3).weights[0])


def test_frozen_weights_of_a_chip_stay_as_they_are() -> None:
    built, given = fpga(mlp(8, 6, 3), **CHIP), data()
    learn = built.learner(0.125, [0.03125] * 2, [0.03125] * 2, [1], [2])
    before = [built.read(c) for c in range(2)], [b.clone() for b in built.biases if b is not None]
    for row in range(6):
        learn(given.x[row : row + 1], given.y[row : row + 1])
    assert torch.equal(built.read(0), before[0][0]) and not torch.equal(built.read(1), before[0][1])
    assert built.biases[0] is not None and built.biases[1] is not None
    assert torch.equal(built.biases[0], before[1][0]) and not torch.equal(built.biases[1], before[1][1])


@pytest.mark.parametrize("changes", [{}, CHIP])
def test_a_resumed_run_ends_as_a_whole_one(tmp_path: Path, changes: dict[str, object]) -> None:
    backend = card("fpga", **changes)
    options: dict[str, object] = {"data": data(), "epochs": 3}
    if not changes:
        options["batch_size"] = 4
    whole_run = trained(backend, mlp(8, 6, 3), checkpoint=tmp_path / "whole.safetensors", **options)
    stopped = mlp(8, 6, 3)

    def stop(info: object) -> None:
        if info.epoch == 3:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(backend, stopped, checkpoint=tmp_path / "part.safetensors", on_step=stop, **options)
    resumed = trained(backend, stopped, checkpoint=tmp_path / "part.safetensors", resume=True, **options)
    assert all(torch.equal(a, b) for a, b in zip(whole_run.parameters(), resumed.parameters(), strict=True))


def test_what_a_machine_trained_the_next_one_holds_and_settles_alike(tmp_path: Path) -> None:
    run = trained(card("fpga"), mlp(8, 6, 3), data=data(), epochs=2)
    first = fpga(run)
    run.save(tmp_path / "model.safetensors")
    second = fpga(load(tmp_path / "model.safetensors"))
    x, y = batch(run, 8)
    assert all(torch.equal(first.read(c), run.weights[c]) for c in range(2))
    pairs = zip(both(first, x, y), both(second, x, y), strict=True)
    assert all(torch.equal(a, b) for one, two in pairs for a, b in zip(one.state, two.state, strict=True))


def test_the_contrast_is_the_gradient_and_in_principle_is_turned_down() -> None:
    with pytest.raises(CapabilityError, match="check the machine as trained"):
        gradient_check(mlp(4, 3, 2), backend="fpga")
    report = gradient_check(mlp(64, 24, 10), backend="fpga", as_trained=True, samples=64)
    assert report.min_cosine is not None and report.min_cosine > 0.98


BAD_CARDS = [
    ({"fpga": None}, "fpga = None: this substrate needs it"),
    ({"registers": None}, "registers = None: this substrate holds weights in whole steps"),
    ({"compute__torch_device": "meta"}, "compute.torch_device = meta: must be cpu, where the executable runs"),
    ({"settle__tolerance": 1e-3}, "settle.tolerance = 0.001: must be 0, as a chip runs a fixed number of steps"),
    ({"settle__average": 3}, "settle.average = 3: must be 0"),
    ({"settle__euler_step": 0.3}, "settle.euler_step = 0.3: must be a power of two"),
    ({"settle__euler_step": 2.0**-9}, "settle.euler_step = 0.001953125: must be at least 0.00390625"),
    ({"settle__euler_step": None}, "settle.euler_step = None: this substrate needs a step"),
    ({"registers__step": 0.1, "registers__step_by": "weight"}, "registers.step = 0.1: must be a power of two"),
    ({"fpga__state_fraction": 20}, "state_fraction must be below state_bits"),
    ({"fpga__input_bits": 10}, "input_fraction must be below input_bits"),
]


@pytest.mark.parametrize(("changes", "message"), BAD_CARDS)
def test_cards_that_no_such_machine_follows_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(CardError) as caught:
        machine(mlp(4, 3, 2), "fpga", **changes)
    assert message in str(caught.value)


BAD_MODELS = [
    (mlp(4, 3, 2, cost="cross_entropy"), {}, "cost = cross_entropy"),
    (convnet((1, 8, 8), (2,), kernel=3), {}, "layer 1 = a convolution"),
    (mlp(4, 3, 2, skips=[(0, 2)]), {}, "skip 0 to 2"),
    (mlp(4, 3, 2, activation="tanh"), {}, "layer 1, activation = tanh"),
    (boxes(gain=2.0), {}, "layer 1, gain = 2"),
    (boxes(high=9.0), {}, "states of layer 1 = 0 to 9"),
    (boxes(bias=8.0), {}, "biases of layer 1 = 8"),
    (boxes(bias=-7.5, offset=-1.0), {}, "biases of layer 1 = -8.5"),
    (mlp(4, 3, 2), {"fpga__lanes": 2}, "lanes = 2: must divide the 3 units of layer 1"),
    (mlp(64, 8, 2), {"fpga__sum_bits": 24}, "layer 1, sum up: must fit in 24 bits"),
    (mlp(4, 3, 2), {"registers__step": 2.0**-40, "registers__step_by": "weight"}, "registers = 12 bits"),
    (mlp(4, 3, 2), {"registers__step": 2.0, "registers__step_by": "weight"}, "step of layer 1 = 2"),
]


@pytest.mark.parametrize(("model", "changes", "message"), BAD_MODELS)
def test_models_that_do_not_fit_are_refused_with_the_layer(
    model: Model, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(CapabilityError) as caught:
        fpga(model, **changes)
    assert message in str(caught.value).replace(" = must", ": must"), str(caught.value)


def test_inputs_targets_and_strengths_that_do_not_fit_are_refused() -> None:
    built = fpga(mlp(4, 3, 2))
    x, y = batch(built.model, 2)
    with pytest.raises(DataError, match="inputs = 8: must be within -8 and 7.99902"):
        built.settle(torch.full((2, 4), 8.0))
    with pytest.raises(CapabilityError, match="beta = 0.1: must be a whole multiple of 0.00390625"):
        built.settle(x, Nudge(torch.tensor([0.1, 0.1]), y))
    with pytest.raises(CapabilityError, match="beta = 3.0: must be below 3 in steps of 0.5"):
        built.settle(x, Nudge(torch.tensor([0.125, 3.0]), y))
    with pytest.raises(DataError, match="targets = 200"):
        built.settle(x, Nudge(torch.tensor([0.125, 0.125]), y * 200))


def test_biases_beyond_the_format_change_nothing() -> None:
    built = fpga(mlp(4, 3, 2))
    x, _ = batch(built.model, 2)
    built.write_bias(2, torch.tensor([1.0, -1.0]))
    after = built.settle(x).output
    with pytest.raises(CapabilityError, match="biases of layer 2 = 200"):
        built.write_bias(2, torch.tensor([200.0, 0.0]))
    change = torch.tensor([200.0, 0.0])
    with pytest.raises(CapabilityError, match="biases of layer 2 = 201"):
        built.apply_bias(2, Schedule((Registers(change),), change))
    assert built.biases[1] is not None and built.biases[1].tolist() == [1.0, -1.0]
    assert torch.equal(built.settle(x).output, after)


def test_an_empty_batch_settles_to_an_empty_state() -> None:
    free, nudged = both(fpga(mlp(4, 3, 2)), torch.zeros(0, 4), torch.zeros(0, 2))
    assert free.output.shape == nudged.output.shape == (0, 2)


def test_without_a_compiler_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MachineError, match=r"install the package g\+\+"):
        fpga(mlp(4, 3, 2))


def test_other_machines_refuse_the_block() -> None:
    with pytest.raises(CardError, match="fpga: formats of an FPGA are of no use to this substrate"):
        machine(mlp(4, 3, 2), "cpu", fpga=card("fpga").fpga.model_dump())  # type: ignore[union-attr]
