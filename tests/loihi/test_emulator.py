"""The emulator against plain loops in Python's whole numbers, which cannot wrap or round."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lava_cases import EXTREME, phase, plain
from torch import Tensor

from mep_hw.loihi import emulator
from mep_hw.loihi.emulator import Arithmetic, Unit
from mep_hw.loihi.network import Array, Network, Phase, Population

FAR = 2.0**40  # stands for bounds that a population does not have


def emulated(network: Network, given: Phase) -> tuple[list[Array], list[Array]]:
    """The phase on the emulator, with the products taken here."""
    numbers = Arithmetic(network.step_shift, network.payload_shift, network.payload_limit, network.beta_fraction)
    bounded = [
        Population(p.bias, p.shift, -FAR if p.low is None else p.low, FAR if p.high is None else p.high, p.curve)
        for p in network.populations
    ]
    units = [Unit(population, (population.units,), numbers) for population in bounded]
    sent_in = torch.as_tensor(given.inputs, dtype=torch.float64)

    def couple(sent: list[Tensor], static: list[Tensor]) -> list[Tensor]:
        drives = [value.repeat(len(sent_in), 1) for value in static]
        for c in network.connections:
            source = sent_in if c.source == 0 else sent[c.source - 1]
            drives[c.target - 1] += source @ torch.as_tensor(c.weights, dtype=torch.float64).T * 2**c.exponent
        return drives

    none = [torch.zeros(1, population.units, dtype=torch.float64) for population in network.populations]
    start = [torch.as_tensor(value, dtype=torch.float64) for value in given.start]
    beta, target = (torch.as_tensor(value, dtype=torch.float64) for value in (given.beta, given.target))
    nudged = bool(given.beta.any())
    state, earlier = emulator.run(
        units, couple, none, start, beta[:, None] if nudged else None, target if nudged else None, given.steps
    )
    return [value.numpy() for value in state], [value.numpy() for value in earlier]


@pytest.mark.parametrize("nudged", [False, True])
@pytest.mark.parametrize("name", EXTREME)
def test_emulator_and_plain_loops_agree_to_the_bit(name: str, nudged: bool) -> None:
    subject = EXTREME[name]
    given = phase(subject, 5, 6, seed=13, nudged=nudged)
    expected = plain(subject, given)
    for found, wanted in zip(emulated(subject, given), (expected.state, expected.earlier), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_a_state_at_rest_ends_the_phase_and_changes_no_result() -> None:
    subject = EXTREME["read-out only"]
    given = phase(subject, 3, 400, seed=14)
    expected = plain(subject, given)
    found = emulated(subject, given)
    for state, wanted in zip(found[0], expected.state, strict=True):
        assert np.array_equal(state, wanted)
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))  # at rest
