"""Machines that learn by themselves: what training asks of them, and what it turns down for them."""

from __future__ import annotations

import fpga_programs
import pytest
import torch
from helpers import card

import mep_hw
from mep_hw.cards.changed import changed
from mep_hw.data import Data
from mep_hw.distributed import Group
from mep_hw.errors import CapabilityError
from mep_hw.estimator import make
from mep_hw.machine import build
from mep_hw.rules import Hebbian
from mep_hw.training.step import TrainingStep

CHIP = changed(
    card("fpga"),
    {
        "fpga.learning": "chip", "training.rule": "hebbian", "training.lr": 0.03125, "training.batch_size": 1,
        "training.momentum": 0.0, "training.lr_schedule": "constant", "training.epochs": 1,
    },
)  # fmt: skip


@pytest.fixture(autouse=True)
def _compiler() -> None:
    fpga_programs.need("g++")


def data() -> Data:
    x = torch.rand(8, 4, generator=torch.Generator().manual_seed(0))
    y = torch.eye(2)[torch.arange(8) % 2]
    return Data("random", x, y, x[:0], y[:0], 2)


REFUSED = [
    ({"rule": "sgd"}, "rule = sgd: is not what a machine that learns by itself does; take rule hebbian"),
    ({"estimator": "one_sided"}, "estimator = one_sided"),
    ({"spectral_bound": 0.9}, "spectral_bound = 0.9"),
    ({"lr_schedule": "cosine"}, "lr_schedule = 0.9"),
    ({"warmup": 1.0}, "lr_schedule = "),
    ({"batch_size": 2}, "batch_size = 2: must be 1, as the chip learns after every sample"),
    ({"lr": 0.03}, "lr of layer 1 = 0.03: must be 0.25 .2 beta. times a power of two.*; take 0.03125"),
    ({"bias_lr": 0.1}, "bias_lr of layer 1 = 0.1: .*; take 0.125"),
    ({"lr": 2.0**-30}, "halvings of the rate of weights of layer"),
    ({"clip": 1.0}, "rule = "),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_what_no_chip_does_is_refused(options: dict[str, object], message: str) -> None:
    model = mep_hw.mlp(4, 4, 4, 2)
    before = [w.clone() for w in model.weights]
    with pytest.raises(CapabilityError, match=message):
        mep_hw.train(model, data(), backend=CHIP, progress=False, **options)  # type: ignore[arg-type]
    assert all(torch.equal(a, b) for a, b in zip(before, model.weights, strict=True))


def test_rates_per_layer_and_their_costs() -> None:
    model = mep_hw.mlp(4, 4, 2)
    run = mep_hw.train(model, data(), backend=CHIP, lr=[0.125, 0.03125], progress=False)
    assert run.cost.cycles == 2 * 8  # an update of each coupling after every sample
    assert len(run.history) == 1 and run.history[0]["train_loss"] is not None


def test_jobs_of_several_processes_are_refused() -> None:
    two = Group()
    two.size = 2
    with build(mep_hw.mlp(4, 4, 2), CHIP, None, 0) as chip, pytest.raises(CapabilityError, match="processes = 2"):
        TrainingStep(chip, make("centered", 0.125), Hebbian(), lr=0.03125, group=two)


def test_other_machines_do_not_learn_by_themselves() -> None:
    with build(mep_hw.mlp(4, 4, 2), card("cpu"), None, 0) as cpu:
        assert not cpu.learns
        with pytest.raises(CapabilityError, match="let the host learn"):
            cpu.learner(0.125, [0.1], [0.1], [0], [1])
