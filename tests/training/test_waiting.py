"""A training step on a GPU never waits for it: shown on a pretended one, and on a real one where there is one.

The pretended one is torch's device `meta`: what is not the CPU runs the code for GPUs, and its tensors have no values, so
whatever asks for one fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from dispatch import Launches, Read, moved

import mep_hw
from mep_hw import estimator, machine, rules
from mep_hw.training.step import TrainingStep

RULES = ["sgd", "adam", "muon", "dion"]
AROUND = {"": {}, "decay": {"weight_decay": 0.01}, "clip": {"clip": 0.5}}
GPUS = ["meta", *(["cuda"] if torch.cuda.is_available() else [])]


def made(rule: str, sizes: tuple[int, ...], **around: float) -> TrainingStep:
    card, _ = machine.cards("cpu")
    substrate = machine.build(mep_hw.mlp(*sizes), machine.fixed_sweeps(card, 3, 3), None, 0)
    given = rules.DEFAULTS[rule] | around
    lr, clip = given.pop("lr"), given.pop("clip", None)
    own = rules.make(rule, momentum=given["momentum"], weight_decay=given["weight_decay"], clip=clip)
    return TrainingStep(substrate, estimator.make("centered", 0.1), own, lr=lr)


@contextmanager
def never_waiting(place: torch.device) -> Iterator[None]:
    """CUDA's own check that nothing waits; without a GPU there is none to ask."""
    if place.type != "cuda":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def batch(sizes: tuple[int, ...], place: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(8, sizes[0], device=place), torch.rand(8, sizes[-1], device=place)


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("gpu", GPUS)
def test_a_step_never_waits(gpu: str, rule: str, around: str) -> None:
    sizes = (12, 9, 9, 9, 5)
    step = made(rule, sizes, **AROUND[around])
    place = torch.device(gpu)
    moved(step, place)
    x, y = batch(sizes, place)
    with Launches(refuse=True), never_waiting(place):
        for _ in range(2):
            free = step(x, y)
    assert free.output.device.type == gpu and step.finite.largest is not None
    assert all(value.device.type == gpu for m in step.memory.values() for value in m.values() if value.dim())
