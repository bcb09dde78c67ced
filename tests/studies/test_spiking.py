"""Spiking units: rates that their equations promise, phases that go on, refusals; and the study's file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from command import call

import mep_hw
from mep_hw.brian.spiking import READ_OUT, Spiking
from mep_hw.cards import BackendCard
from mep_hw.cards.changed import changed
from mep_hw.errors import CapabilityError, CheckpointError
from mep_hw.machine import build
from mep_hw.model import Model
from mep_hw.state import Nudge
from mep_hw.studies.spiking import MARGIN, SpikingStudy, spiking_card

DOUBLE = torch.float64


def machine(model: Model, card: BackendCard | None = None) -> Spiking:
    built = build(model, card or spiking_card(), None, 0)
    assert isinstance(built, Spiking)
    return built


def drawn(seed: int = 0) -> tuple[Model, torch.Tensor, torch.Tensor]:
    """A small model whose read-out stays within its range, inputs and targets."""
    model = mep_hw.mlp(6, 8, 5, 3, seed=seed, dtype=DOUBLE)
    model.weights[2].mul_(0.5)
    assert model.biases[2] is not None
    model.biases[2].fill_(0.5)
    x = torch.rand(4, 6, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)
    return model, x, torch.eye(3, dtype=DOUBLE)[torch.arange(4) % 3]


def test_mean_traces_are_the_rates_of_the_membranes() -> None:
    # Without couplings a membrane goes to its bias, and the trace's mean to that, clipped to the encoder's range.
    model = mep_hw.mlp(2, 5, 4, dtype=DOUBLE)
    for weight in model.weights:
        weight.zero_()
    hidden, read_out = model.biases
    assert hidden is not None and read_out is not None
    hidden.copy_(torch.tensor([-0.3, 0.0, 0.23, 0.71, 1.4]))
    read_out.copy_(torch.tensor([-0.9, -0.2, 0.6, 1.9]))
    settled = machine(model).settle(torch.ones(1, 2, dtype=DOUBLE))
    expected = (hidden.clamp(0, 1), read_out.clamp(READ_OUT.low, READ_OUT.high))
    for value, rate, height in zip(settled.state, expected, (1.0, 2.0), strict=True):
        # The mean of n spikes is off by less than a spike at either end of the averaging: 2 of 100.
        assert float((value[0] - rate).abs().max()) < 0.02 * height


def test_states_are_near_those_of_the_rate_model() -> None:
    model, x, y = drawn()
    spiking, rates = machine(model), build(model, mep_hw.cards.load_backend("reference"), None, 0)
    free, expected = spiking.settle(x), rates.settle(x)
    nudge = Nudge(torch.tensor([0.3, -0.3], dtype=DOUBLE).repeat_interleave(4), y)
    pulled, goal = spiking.settle(x, nudge, free), rates.settle(x, nudge, expected)
    for ours, theirs in ((free, expected), (pulled, goal)):
        assert max(float((a - b).abs().max()) for a, b in zip(ours.state, theirs.state, strict=True)) < 0.02
    assert float((goal.output - expected.output.repeat(2, 1)).abs().max()) > 0.2  # far more than the bar above
    assert float(pulled.residual.max()) < 0.05


def test_a_phase_goes_on_where_another_ended() -> None:
    model, x, _ = drawn()
    half, whole = (changed(spiking_card(), {"settle.free_sweeps": steps, "settle.average": 50}) for steps in (100, 200))
    once, first = machine(model, whole).settle(x), machine(model, half)
    twice = first.settle(x, None, first.settle(x))
    assert max(float((a - b).abs().max()) for a, b in zip(once.state, twice.state, strict=True)) < 1e-12
    bare = first.settle(x, None, first.settle(x).bare())  # which knows no encoders
    assert 1e-6 < max(float((a - b).abs().max()) for a, b in zip(once.state, bare.state, strict=True)) < 0.1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"settle.tolerance": 1e-3}, "settle.tolerance = 0.001: spiking units never rest"),
        ({"settle.nudged_tolerance": 1e-3}, "spiking units never rest"),
        ({"settle.average": 0}, "settle.average = 0"),
        ({"settle.euler_step": 0.2}, "settle.euler_step = 0.2: a unit would fire more than once"),
    ],
)
def test_cards_without_sense_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(CapabilityError, match=words):
        machine(mep_hw.mlp(3, 4, 2), changed(spiking_card(), changes))


def test_other_units_and_short_phases_are_refused() -> None:
    with pytest.raises(CapabilityError, match="activation of layer 1"):
        machine(mep_hw.mlp(3, 4, 2, activation="tanh"))
    model, x, y = drawn()
    with pytest.raises(CapabilityError, match="sweeps of a phase = 20: is shorter than settle.average"):
        machine(model).settle(x, Nudge(torch.full((4,), 0.2, dtype=DOUBLE), y, sweeps=20))


def test_the_study_writes_what_it_found_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mep_hw.studies.spiking.PHASES", {
        "free_sweeps": 20, "nudged_sweeps": 20, "average": 10, "euler_step": 0.1,
    })  # fmt: skip
    monkeypatch.setattr("mep_hw.studies.spiking.TRAINING", {
        "rule": "muon", "lr": 0.02, "momentum": 0.9, "weight_decay": 0.0, "batch_size": 360, "beta": 0.2,
        "lr_schedule": "cosine",
    })  # fmt: skip
    told: list[str] = []

    def study(epochs: int) -> SpikingStudy:
        return SpikingStudy(
            lambda seed: mep_hw.mlp(64, 4, 10, seed=seed), "64-4-10", epochs, [0], tmp_path, told.append
        )

    table = study(1).run()
    assert json.loads((tmp_path / "spiking.json").read_text()) == table and len(told) == 2
    for row, run in zip(table["rows"], table["runs"].values(), strict=True):
        assert row["mean"] == run["accuracy"] == run["course"][-1]
        assert row["learns"] == (run["accuracy"] - run["frozen"] > MARGIN - 1e-6)
        assert run["cosine"] > 0.5 and (run["brian2"] is not None) == (run["kind"] == "spiking")
    assert study(1).run() == table and len(told) == 2
    with pytest.raises(CheckpointError, match="training"):
        study(2)


def test_the_command_draws_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = Path(__file__).parents[2] / "docs" / "results" / "spiking" / "spiking.json"
    (tmp_path / "spiking.json").write_text(kept.read_text())
    found = call(capsys, "study", "spiking", "--out", tmp_path, "--json")
    assert [row["kind"] for row in found.json["rows"]] == ["spiking", "rate"]
    assert all(row["learns"] for row in found.json["rows"])
    assert (tmp_path / "spiking.png").stat().st_size > 1000
