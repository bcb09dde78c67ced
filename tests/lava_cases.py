"""Networks for Loihi, the plain loops that they are held against, and the interpreter for Lava.

The loops follow the equations at the head of `mep_hw/loihi/network.py` one sample and one unit at a time, in Python's
whole numbers, which cannot wrap; they share no code with the package.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mep_hw.errors import MachineError
from mep_hw.loihi.environment import lava_python
from mep_hw.loihi.network import Connection, Curve, Network, Phase, Population, Reached

ONE = 4096  # the state format: 12 bits of fraction


def interpreter() -> Path:
    """The Python that Lava runs in; without one a test is skipped, and under .ci/run it fails."""
    try:
        return lava_python().path
    except MachineError as error:
        if os.environ.get("MEP_HW_CI"):
            pytest.fail(f"the checks of .ci/run need Lava: {error}")
        pytest.skip(f"needs Lava (mep-hw loihi setup); .ci/run sets it up and never skips: {error}")


def table(name: str, bits: int = 5, step_bits: int = 9) -> Curve:
    """rho in `2^(bits + 1)` pieces."""
    at = (np.arange(2 ** (bits + 1) + 1) - 2**bits) * 2**step_bits / ONE
    values = np.tanh(at) if name == "tanh" else 1 / (1 + np.exp(-at))
    return Curve("tanh" if name == "tanh" else "sigmoid", np.rint(values * ONE).astype(np.int64), step_bits)


def network(
    sizes: list[int],
    seed: int,
    *,
    kinds: str = "",
    size: int = 60,
    bias: int = 1500,
    register: int | None = None,
    **changes: int,
) -> Network:
    """A chain of both directions; `kinds`, a letter per hidden layer: b box, n box from -1, t tanh, s sigmoid;
    `register`: where the states of all other units saturate, None for nowhere."""
    random = np.random.default_rng(seed)
    populations, connections = list[Population](), list[Connection]()
    for number in range(1, len(sizes)):
        kind = (kinds or "b" * len(sizes))[number - 1] if number < len(sizes) - 1 else ""
        low, high = {"b": (0, ONE), "n": (-ONE, ONE)}.get(
            kind, (None, None) if register is None else (-register, register - 1)
        )
        curve = table({"t": "tanh", "s": "sigmoid"}[kind]) if kind in ("t", "s") else None
        populations.append(Population(random.integers(-bias, bias, sizes[number]), 4, low, high, curve))
        weights = 2 * random.integers(-size, size, (sizes[number], sizes[number - 1]))
        connections.append(Connection(number - 1, number, weights, exponent=number % 2))
        if number > 1:
            connections.append(Connection(number, number - 1, weights.T, exponent=(number - 1) % 2))
    given = {"step_shift": 1, "payload_shift": 4, "payload_limit": 1 << 15, "beta_fraction": 8} | changes
    return Network(True, tuple(populations), tuple(connections), **given)


def only_negative(network: Network) -> Network:
    """The same with weights of one sign, from -256 on, for which Lava by itself would choose another coding."""
    negative = [np.where(np.abs(c.weights) < 64, -256, -np.abs(c.weights)) for c in network.connections]
    pairs = zip(network.connections, negative, strict=True)
    return replace(network, connections=tuple(replace(c, weights=weights) for c, weights in pairs))


def phase(network: Network, rows: int, steps: int, seed: int, *, nudged: bool = False) -> Phase:
    """Random inputs, and a start inside all boxes."""
    random = np.random.default_rng(seed)
    inputs = random.integers(-256, 257, (rows, network.connections[0].weights.shape[1]))
    inputs[0] = 0
    start = tuple(random.integers(0, ONE + 1, (rows, population.units)) for population in network.populations)
    beta = random.choice([-1, 1], rows) * random.integers(1, 256, rows) if nudged else np.zeros(rows, np.int64)
    target = random.integers(0, 2, (rows, network.populations[-1].units)) * ONE
    return Phase(inputs, start, beta, target, steps)


def plain(network: Network, phase: Phase) -> Reached:
    """What every sample's phase ends in, by loops."""
    ends = [_sample(network, phase, row) for row in range(len(phase.inputs))]
    count = len(network.populations)
    state = tuple(np.array([end[0][n] for end in ends]) for n in range(count))
    return Reached(state, tuple(np.array([end[1][n] for end in ends]) for n in range(count)))


def equal(one: Reached, two: Reached) -> bool:
    """Both states of all populations, bit for bit."""
    pairs = zip(one.state + one.earlier, two.state + two.earlier, strict=True)
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs)


def _sample(network: Network, phase: Phase, row: int) -> tuple[list[list[int]], list[list[int]]]:
    state = [[int(value) for value in start[row]] for start in phase.start]
    earlier = state
    for _ in range(phase.steps):
        sent = [[int(value) for value in phase.inputs[row]]]
        sent += [[_sent(network, p, v) for v in values] for p, values in zip(network.populations, state, strict=True)]
        earlier, state = state, [_moved(network, phase, row, n, sent, state[n]) for n in range(len(state))]
    return state, earlier


def _moved(network: Network, phase: Phase, row: int, n: int, sent: list[list[int]], state: list[int]) -> list[int]:
    population, moved = network.populations[n], list[int]()
    for unit, value in enumerate(state):
        total = 0
        for c in network.connections:
            if c.target == n + 1:
                total += sum(int(w) * s for w, s in zip(c.weights[unit], sent[c.source], strict=True)) << c.exponent
        leak = int(population.bias[unit]) - value
        if n == len(network.populations) - 1:
            nudge = int(phase.beta[row]) * (int(phase.target[row, unit]) - value)
            leak += _rounded(nudge, network.beta_fraction)
        value += _rounded(total + leak * 2**population.shift, population.shift + network.step_shift)
        if population.low is not None and population.high is not None:
            value = min(max(value, int(population.low)), int(population.high))
        moved.append(value)
    return moved


def _sent(network: Network, population: Population, value: int) -> int:
    curve = population.curve
    if curve is not None and curve.values is not None:
        first = -(len(curve.values) - 1) // 2 * 2**curve.step_bits
        index, rest = divmod(min(max(value, first), -first - 1) - first, 2**curve.step_bits)
        left, right = int(curve.values[index]), int(curve.values[index + 1])
        value = left + _rounded((right - left) * rest, curve.step_bits)
    value = _rounded(value, network.payload_shift)
    return min(max(value, -network.payload_limit), network.payload_limit - 1)


def _rounded(value: int, bits: int) -> int:
    """To the nearest, halves upward."""
    return (2 * value + 2**bits) // 2 ** (bits + 1)


# Largest weights, a bias far outside of the box, payloads that saturate, and ones that are always 0.
EXTREME = {
    "chain": network([6, 5, 4], 1),
    "two layers": network([7, 6, 5, 3], 2, kinds="bn"),
    "three layers of tables": network([5, 6, 5, 4, 3], 3, kinds="tsn"),
    "read-out only": network([6, 3], 4),
    "largest weights": network([9, 8, 7, 3], 5, kinds="nt", size=128, bias=40 * ONE),
    "negative weights": only_negative(network([6, 5, 4], 9, bias=20 * ONE)),
    "saturating payload": network([5, 6, 4, 3], 6, kinds="tn", payload_shift=2, payload_limit=300),
    "zero payload": network([5, 6, 4, 3], 7, kinds="bs", payload_shift=14),
    "saturating registers": network([5, 6, 5, 3], 9, kinds="ts", register=2 * ONE),
    "whole step": network([5, 4, 3], 8, step_shift=0, payload_shift=0),
}
