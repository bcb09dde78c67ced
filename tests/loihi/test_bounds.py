"""What would be cut or wrap on the way is refused before anything runs; needs no Lava."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from lava_cases import ONE, network, phase, table

from mep_hw.errors import CapabilityError, InputError, ModelError
from mep_hw.loihi.bounds import WORD, require_runnable, worst_sums
from mep_hw.loihi.network import Connection, Network, Phase, Population

SUBJECT = network([5, 4, 3], 1)
GIVEN = phase(SUBJECT, 2, 3, seed=2)


def one_unit(kind: Population, weight: int, inputs: int, **changes: int) -> tuple[Network, Phase]:
    """Three inputs, one hidden unit of that kind, one read-out; the hidden unit is also the only source of the last."""
    weights = np.full((1, 3), weight)
    connections = (
        Connection(0, 1, weights, 2),
        Connection(1, 2, np.array([[weight]]), 3),
        Connection(2, 1, weights[:, :1]),
    )
    read_out = Population(np.zeros(1, np.int64))
    subject = Network(True, (kind, read_out), connections, **{"payload_shift": 4, "payload_limit": 1 << 10} | changes)
    zero = np.zeros((1, 1), np.int64)
    return subject, Phase(np.full((1, 3), inputs), (zero, zero), np.zeros(1, np.int64), zero, 1)


@pytest.mark.parametrize(
    ("kind", "most"),
    [
        (Population(np.zeros(1), 0, 0, ONE), ONE >> 4),
        (Population(np.zeros(1), 0, -3 * ONE, ONE), 3 * ONE >> 4),
        (Population(np.zeros(1), 0, curve=table("tanh")), ONE >> 4),
        (Population(np.zeros(1), 0, -100 * ONE, 0), 1 << 10),  # what is sent saturates
    ],
)
def test_worst_sums_are_what_the_worst_state_sends(kind: Population, most: int) -> None:
    subject, given = one_unit(kind, -256, 7)
    # into the hidden unit: three inputs of 7 shifted by 2, and a read-out at the payload's limit
    assert worst_sums(subject, given) == [256 * (3 * 7 * 4 + (1 << 10)), 256 * most * 8]


def test_a_start_outside_of_the_box_counts() -> None:
    subject, given = one_unit(Population(np.zeros(1), 0, 0, ONE), 2, 1)
    outside = replace(given, start=(np.full((1, 1), -2 * ONE), given.start[1]))
    assert worst_sums(subject, outside)[1] == 2 * worst_sums(subject, given)[1]


def test_the_largest_sum_that_fits_32_bits() -> None:
    subject, given = one_unit(Population(np.zeros(1), 0, 0, 0), 2, 1, payload_limit=1 << 31)
    last = replace(
        subject, connections=(Connection(0, 1, np.array([[2, 0, 0]]), 0), Connection(0, 2, np.array([[2, 2, 2]])))
    )
    fits = replace(given, inputs=np.full((1, 3), WORD // 6))
    require_runnable(last, fits)
    with pytest.raises(CapabilityError, match=rf"population 2: the sum .* may reach {6 * (WORD // 6 + 1)}, beyond"):
        require_runnable(last, replace(given, inputs=np.full((1, 3), WORD // 6 + 1)))


@pytest.mark.parametrize(("weight", "wrong"), [(3, 3), (256, 256), (-258, -258)])
def test_weights_that_lava_would_cut(weight: int, wrong: int) -> None:
    weights = SUBJECT.connections[0].weights.copy()
    weights[2, 1] = weight
    cut = replace(SUBJECT, connections=(replace(SUBJECT.connections[0], weights=weights), *SUBJECT.connections[1:]))
    with pytest.raises(ModelError, match=f"weights from population 0 to 1 = {wrong}: must be even whole numbers"):
        require_runnable(cut, GIVEN)


def test_an_exponent_that_would_lose_bits() -> None:
    shifted = (replace(SUBJECT.connections[0], exponent=-1), *SUBJECT.connections[1:])
    with pytest.raises(ModelError, match=r"exponent of weights .* = -1: must not be negative"):
        require_runnable(replace(SUBJECT, connections=shifted), GIVEN)


def test_inputs_beyond_the_payload() -> None:
    for value in (1 << 15, -(1 << 15) - 1):
        with pytest.raises(CapabilityError, match="is sent as a payload and must lie from -32768 to 32767"):
            require_runnable(SUBJECT, replace(GIVEN, inputs=np.full((2, 5), value)))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"inputs": np.zeros((2, 6), np.int64)}, "weights from population 0 to 1"),
        ({"start": GIVEN.start[:1]}, "start"),
        ({"start": (GIVEN.start[0][:1], GIVEN.start[1])}, "start of population 1"),
        ({"beta": np.zeros((2, 1))}, "beta"),
        ({"target": np.zeros((2, 4))}, "target"),
        ({"steps": 0}, "phase"),
    ],
)
def test_shapes_that_disagree(changes: dict[str, object], field: str) -> None:
    with pytest.raises(InputError, match=f"loihi: {field} = "):
        require_runnable(SUBJECT, replace(GIVEN, **changes))  # pyright: ignore[reportArgumentType]
