"""Lava's own Dense, the batched connections and plain loops give the same whole numbers; in floating point, the ODE."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import machine
from lava_cases import EXTREME, ONE, equal, interpreter, network, phase, plain

import mep_hw
from mep_hw.loihi.lava import Lava
from mep_hw.loihi.network import Connection, Curve, Network, Phase, Population
from mep_hw.state import Nudge, Settled


@pytest.fixture(scope="module")
def dense() -> Iterator[Lava]:
    with Lava(interpreter(), batched=False, timeout_s=120) as lava:
        yield lava


@pytest.fixture(scope="module")
def batched() -> Iterator[Lava]:
    with Lava(interpreter(), batched=True, timeout_s=120) as lava:
        yield lava


@pytest.mark.parametrize("name", EXTREME)
def test_dense_batched_and_plain_loops_agree_to_the_bit(name: str, dense: Lava, batched: Lava) -> None:
    subject = EXTREME[name]
    free = phase(subject, 3, 6, seed=11)
    nudged = phase(subject, 5, 4, seed=12, nudged=True)
    for given in (free, nudged):  # the second in the processes of the first, or in new ones with more rows
        expected = plain(subject, given)
        assert equal(dense.settle(subject, given), expected)
        assert equal(batched.settle(subject, given), expected)
    assert equal(dense.settle(subject, free), plain(subject, free))  # nothing is left over from the other phase


def test_cases_reach_what_they_are_named_for() -> None:
    def ends(name: str) -> np.ndarray:
        subject = EXTREME[name]
        return plain(subject, phase(subject, 3, 6, seed=11)).state[0]

    boxes = ends("largest weights")
    assert {-ONE, ONE} <= set(boxes.ravel())
    assert (np.abs(ends("saturating payload")) >> 2 > 300).any()
    assert (np.abs(ends("zero payload")) < 1 << 13).all()


def test_new_weights_are_taken_over_without_a_new_worker(dense: Lava, batched: Lava) -> None:
    subject = network([6, 5, 4, 3], 20)
    given = phase(subject, 2, 5, seed=21)
    first = plain(subject, given)
    for lava in (dense, batched):
        worker = lava.about() and lava.pid
        assert equal(lava.settle(subject, given), first)
        subject.connections[0].weights[0] += 2  # in place: the client has to look at the contents
        changed = lava.settle(subject, given)
        assert equal(changed, plain(subject, given)) and not equal(changed, first)
        subject.connections[0].weights[0] -= 2
        assert lava.pid == worker


@pytest.mark.parametrize("activation", ["hard_sigmoid", "tanh", "sigmoid"])
def test_floating_point_is_the_reference(activation: str, dense: Lava, batched: Lava) -> None:
    model = mep_hw.mlp(7, 6, 5, 4, activation=activation, seed=3, dtype=torch.float64)
    random = torch.Generator().manual_seed(5)
    inputs = torch.rand(3, 7, generator=random, dtype=torch.float64)
    target = torch.eye(4, dtype=torch.float64)[:3]
    beta = torch.tensor([0.5, -0.3, 0.2], dtype=torch.float64)
    steps, dt = 12, 0.25
    settings = {"settle__euler_step": dt, "settle__free_sweeps": steps, "settle__nudged_sweeps": steps}
    reference = machine(model, "reference", **settings, settle__tolerance=0.0, settle__nudged_tolerance=0.0)
    at = [0.1 + 0.8 * torch.rand(3, units, generator=random, dtype=torch.float64) for units in (6, 5, 4)]
    free = reference.settle(inputs, start=Settled(at, at[-1], torch.zeros(3), torch.zeros(3)))
    nudged = reference.settle(inputs, Nudge(beta, target), free)
    subject = _floating(model, dt)
    inverse = {"hard_sigmoid": lambda s: s, "tanh": np.arctanh, "sigmoid": lambda s: np.log(s / (1 - s))}[activation]
    start = tuple(inverse(state.numpy()) for state in at[:-1]) + (at[-1].numpy(),)
    silent = Phase(inputs.numpy(), start, np.zeros(3), target.numpy(), steps)
    for lava in (dense, batched):
        first = lava.settle(subject, silent)
        pushed = replace(silent, start=first.state, beta=beta.numpy())
        _compare(subject, first.state, free)
        _compare(subject, lava.settle(subject, pushed).state, nudged)


def _floating(model: mep_hw.Model, dt: float) -> Network:
    """A model of dense layers as a network in floating point."""
    connections, populations = list[Connection](), list[Population]()
    for number, (weights, layer) in enumerate(zip(model.weights, model.layers, strict=True), start=1):
        name = str(layer.activation).lower() if layer.activation is not None else ""
        low, high = (0.0, 1.0) if "box" in name else (None, None)
        curve = Curve("tanh" if "tanh" in name else "sigmoid") if name and "box" not in name else None
        populations.append(Population(model.biases[number - 1].numpy(), 0, low, high, curve))
        connections.append(Connection(number - 1, number, weights.numpy()))
        if number > 1:
            connections.append(Connection(number, number - 1, weights.numpy().T))
    return Network(False, tuple(populations), tuple(connections), dt=dt)


def _compare(subject: Network, states: tuple[np.ndarray, ...], settled: Settled) -> None:
    functions = {"tanh": np.tanh, "sigmoid": lambda u: 1 / (1 + np.exp(-u))}
    for population, state, expected in zip(subject.populations, states, settled.state, strict=True):
        shown = functions[population.curve.name](state) if population.curve else state
        assert np.abs(shown - expected.numpy()).max() < 1e-9
