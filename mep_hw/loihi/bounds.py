"""What Lava's connections can carry: weights they take unchanged, and sums that cannot leave 32 bits.

Lava's Dense cuts weights it cannot hold and lets sums wrap, both without a word. Here a network is refused before it
runs: the largest magnitude that each source can send, times the magnitudes of the weights, bounds every partial sum.
"""

from __future__ import annotations

import numpy as np

from mep_hw.errors import CapabilityError, ModelError
from mep_hw.loihi.network import Array, Connection, Network, Phase

WORD = 2**31 - 1
WEIGHTS = -256, 254  # 8 bits of mixed sign: even numbers


def require_runnable(network: Network, phase: Phase) -> None:
    """Refuse what would be changed or wrap on the way; checks shapes, too.

    Raises:
        ModelError: shapes disagree, or a weight is not one of Loihi's.
        CapabilityError: the sums of a population may exceed 32 bits, or an input its payload.
    """
    _require_shapes(network, phase)
    if not network.fixed:
        return
    for connection in network.connections:
        _require_weights(connection)
    limit, highest = network.payload_limit, _largest(phase.inputs)
    if phase.inputs.size and (phase.inputs.min() < -limit or phase.inputs.max() >= limit):
        rule = f"is sent as a payload and must lie from {-limit} to {limit - 1}"
        raise CapabilityError("loihi", "inputs", highest, rule=rule, fix="scale the inputs down")
    for number, worst in enumerate(worst_sums(network, phase), start=1):
        if worst > WORD:
            rule = f"the sum of what it receives may reach {worst}, beyond the {WORD} that 32 bits hold"
            raise CapabilityError("loihi", f"population {number}", rule=rule, fix="use fewer or smaller weights")


def worst_sums(network: Network, phase: Phase) -> list[int]:
    """Per population, what no sum or partial sum of its connections can exceed in magnitude (fixed point)."""
    sent = [_largest(phase.inputs), *(_most_sent(network, phase, number) for number in range(len(phase.start)))]
    totals = np.zeros((len(phase.start),), dtype=object)
    for connection in network.connections:
        # A weight of 256 and a payload of 2^31 still leave room for 2^22 sources in 64 bits.
        rows = np.abs(connection.weights.astype(np.int64)).sum(1).max(initial=0)
        totals[connection.target - 1] += int(rows) * sent[connection.source] << connection.exponent
    return [int(total) for total in totals]


def _most_sent(network: Network, phase: Phase, index: int) -> int:
    """The largest magnitude that a population can send, from its bounds, its table, and where it starts."""
    population = network.populations[index]
    if population.curve is not None and population.curve.values is not None:
        most = _largest(population.curve.values)
    elif population.low is not None and population.high is not None:
        most = max(int(abs(population.low)), int(abs(population.high)), _largest(phase.start[index]))
    else:
        return network.payload_limit
    half = 1 << network.payload_shift >> 1
    return min((most + half) >> network.payload_shift, network.payload_limit)


def _largest(values: Array) -> int:
    return int(np.abs(values).max(initial=0))


def _require_weights(connection: Connection) -> None:
    weights, name = connection.weights, f"weights from population {connection.source} to {connection.target}"
    low, high = WEIGHTS
    wrong = (weights < low) | (weights > high) | (weights % 2 != 0)
    if wrong.any():
        rule = f"must be even whole numbers from {low} to {high}; Lava would cut them silently"
        raise ModelError("loihi", name, weights[wrong][0], rule=rule, fix="round and clip them first")
    if connection.exponent < 0:
        raise ModelError("loihi", f"exponent of {name}", connection.exponent, rule="must not be negative", fix="use 0")


def _require_shapes(network: Network, phase: Phase) -> None:
    units = [phase.inputs.shape[1], *(population.units for population in network.populations)]
    for connection in network.connections:
        wanted = units[connection.target], units[connection.source]
        name = f"weights from population {connection.source} to {connection.target}"
        _require(name, connection.weights.shape, wanted)
    rows = len(phase.inputs)
    if rows < 1 or phase.steps < 1:
        rule = "needs one row and one step at least"
        raise ModelError("loihi", "phase", f"{rows} rows, {phase.steps} steps", rule=rule, fix="give more")
    if len(phase.start) != len(network.populations):
        rule = f"must hold one state for each of {len(network.populations)} populations"
        raise ModelError("loihi", "start", f"{len(phase.start)} states", rule=rule, fix="give all of them")
    for number, state in enumerate(phase.start, start=1):
        _require(f"start of population {number}", state.shape, (rows, units[number]))
    _require("beta", phase.beta.shape, (rows,))
    _require("target", phase.target.shape, (rows, units[-1]))


def _require(name: str, shape: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    if shape != wanted:
        raise ModelError("loihi", name, shape, rule=f"must have the shape {wanted}", fix="reshape it")
