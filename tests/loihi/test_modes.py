"""One model on the emulator and in Lava's own simulation: the same bits; in floating point, the reference's states."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from helpers import card, machine
from lava_cases import interpreter
from torch import Tensor

import mep_hw
from mep_hw.cards import BackendCard
from mep_hw.conformance import suite
from mep_hw.conformance.problems import problem
from mep_hw.data import as_data
from mep_hw.errors import CapabilityError, MachineError
from mep_hw.loihi import hardware
from mep_hw.loihi.environment import Found
from mep_hw.model import Model, convnet, mlp
from mep_hw.state import Nudge
from mep_hw.substrates.base import Substrate
from mep_hw.substrates.loihi import Loihi

FIXED = {"loihi__mode": "lava-fixed", "settle__free_sweeps": 40, "settle__nudged_sweeps": 16}


def floating(**changes: object) -> BackendCard:
    return card(
        "loihi", loihi__mode="lava-float", registers=None, compute__dtype="float64", settle__free_sweeps=24,
        settle__nudged_sweeps=12, **changes,
    )  # fmt: skip


def states(built: Substrate, x: Tensor, y: Tensor) -> list[Tensor]:
    """Free and nudged states of all layers."""
    inputs, target = built.tensor(x), built.tensor(y)
    free = built.settle(inputs)
    beta = torch.tensor([0.125, -0.125], dtype=built.dtype).repeat_interleave(len(x))
    return [*free.state, *built.settle(inputs, Nudge(beta, target), free).state]


def same(one: Sequence[Tensor], two: Sequence[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.fixture(scope="module")
def python() -> None:
    interpreter()  # skips, or fails under .ci/run


@pytest.fixture(scope="module")
def trained() -> Model:
    return mep_hw.train(mlp(64, 24, 10), backend="loihi", lr=0.01, epochs=4, progress=False).model


@pytest.fixture(scope="module")
def dense(python: None, trained: Model) -> Iterator[Substrate]:
    """The trained model in Lava's own Dense, unbatched."""
    with machine(trained, "loihi", **FIXED, loihi__batched=False) as built:
        yield built


def test_a_trained_model_predicts_in_lava_as_in_the_emulator(dense: Substrate, trained: Model) -> None:
    data = as_data(None)
    x = dense.tensor(data.test_x[:100])
    here, there = machine(trained, "loihi", **FIXED).settle(x), dense.settle(x)
    assert same(here.state, there.state)
    labels = there.output.argmax(1)
    assert torch.equal(here.output.argmax(1), labels)
    assert float((labels == data.test_y[:100]).float().mean()) > 0.85  # they are of a model that has learned


def test_nudged_states_of_a_trained_model_are_the_same_bits(dense: Substrate, trained: Model) -> None:
    data = as_data(None)
    x, y = data.x[:4], torch.eye(10)[data.y[:4]]
    assert same(states(dense, x, y), states(machine(trained, "loihi", **FIXED), x, y))


@pytest.mark.parametrize("kind", ["deep", "skip"])
@pytest.mark.parametrize("batched", [True, False])
def test_random_models_settle_to_the_same_bits(kind: str, batched: bool, python: None) -> None:
    p = problem(kind, 3)
    with machine(p.model, "loihi", **FIXED, loihi__batched=batched) as lava:
        assert same(states(lava, p.x, p.y), states(machine(p.model, "loihi", **FIXED), p.x, p.y))


def test_a_convolution_is_the_matrix_that_it_is(python: None) -> None:
    model = convnet((1, 5, 5), (2,), kernel=3, padding=1, pool=None, outputs=3, seed=1)
    x, y = torch.rand(2, 1, 5, 5, generator=torch.Generator().manual_seed(1)), torch.eye(3)[:2]
    with machine(model, "loihi", **FIXED) as lava:
        assert same(states(lava, x, y), states(machine(model, "loihi", **FIXED), x, y))


def test_training_in_lava_is_training_in_the_emulator(python: None) -> None:
    x, y = torch.rand(24, 6, generator=torch.Generator().manual_seed(2)), torch.arange(24) % 3
    ends = [
        mep_hw.train(mlp(6, 5, 3), (x, y), backend=backend, epochs=2, batch_size=8, progress=False).model.parameters()
        for backend in (card("loihi", **FIXED), card("loihi", **FIXED | {"loihi__mode": "emulator"}))
    ]
    assert same(*ends)
    assert not same(ends[0], mlp(6, 5, 3).parameters())


@pytest.mark.parametrize("kind", ["mlp", "deep", "skip", "conv"])
def test_floating_point_is_the_reference_after_as_many_steps(kind: str, python: None) -> None:
    p = problem(kind, 3)
    exact = machine(
        p.model, "reference", settle__free_sweeps=24, settle__nudged_sweeps=12, settle__tolerance=0.0,
        settle__nudged_tolerance=0.0,
    )  # fmt: skip
    with Loihi(p.model, floating(), None, 0) as lava:
        pairs = zip(states(lava, p.x, p.y), states(exact, p.x, p.y), strict=True)
        assert max(float((a - b).abs().max()) for a, b in pairs) < 1e-9


def test_pooling_in_whole_numbers_is_left_to_the_emulator(python: None) -> None:
    with pytest.raises(CapabilityError, match="pools, which needs fractions of a weight; set loihi.mode to emulator"):
        machine(convnet((1, 8, 8), (2,), kernel=3, outputs=3), "loihi", **FIXED)


def test_the_example_excuses_what_lava_cannot_take_and_nothing_else(python: None) -> None:
    example = Path(__file__).parents[2] / "examples" / "loihi_lava.yaml"
    report = suite.run(example, ["refuse", "nudge_direction"])
    assert [outcome.status for outcome in report.outcomes] == ["passed", "passed"], report


@pytest.mark.parametrize(("extension", "rule"), [(False, "Intel's extension of Lava"), (True, "own microcode")])
def test_hardware_is_never_a_simulation(extension: bool, rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Found(hardware.__file__, "3.10.13", "0.10.0", "1.26.4", extension)  # type: ignore[arg-type]
    monkeypatch.setattr(hardware, "lava_python", lambda: found)
    with pytest.raises(CapabilityError, match=rule):
        machine(mlp(4, 3, 2), "loihi", loihi__mode="hardware")


def test_without_lava_the_modes_that_need_it_say_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEP_HW_LAVA_PYTHON", "/nowhere/python")
    for mode in ("lava-fixed", "hardware"):
        with pytest.raises(MachineError, match="points to no file; unset it and run mep-hw loihi setup"):
            machine(mlp(4, 3, 2), "loihi", loihi__mode=mode)


def test_learning_in_the_engine_is_no_way_to_train_a_model() -> None:
    with pytest.raises(CapabilityError, match="learns one connection, .*; run mep-hw loihi learn, or set lava-fixed"):
        machine(mlp(4, 3, 2), "loihi", loihi__mode="lava-learn")
