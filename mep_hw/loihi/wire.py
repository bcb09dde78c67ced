"""A network as a message to Lava's worker: its structure as JSON, its numbers as named arrays.

The two are kept apart because running processes can take other numbers, but not another structure.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from mep_hw.loihi.network import Array, Network, Phase, Population, Reached


def structure(network: Network, *, inputs: int, batched: bool) -> dict[str, Any]:
    """All but the numbers that training changes; `inputs` is the number of input units."""
    return {
        "fixed": network.fixed,
        "batched": batched,
        "inputs": inputs,
        "populations": [_population(network, number) for number in range(1, len(network.populations) + 1)],
        "connections": [
            {"source": connection.source, "target": connection.target, "exponent": connection.exponent}
            for connection in network.connections
        ],
    }


def numbers(network: Network) -> dict[str, Array]:
    """Weights of connection c as "weightsc" (from 0), and per population (from 1) "biasn", "boundsn", "curven"."""
    kind = np.int64 if network.fixed else np.float64
    found = {f"weights{number}": connection.weights for number, connection in enumerate(network.connections)}
    for number, population in enumerate(network.populations, start=1):
        found |= {f"{name}{number}": array for name, array in _arrays(population).items()}
    return {name: np.ascontiguousarray(array, kind) for name, array in found.items()}


def phase_arrays(network: Network, phase: Phase) -> dict[str, Array]:
    """What one phase needs; inputs as they are sent, all others in the state format."""
    kind = np.int64 if network.fixed else np.float64
    starts = {f"start{number}": array for number, array in enumerate(phase.start, start=1)}
    found = {"inputs": phase.inputs, "beta": phase.beta, "target": phase.target, **starts}
    return {name: np.ascontiguousarray(array, kind) for name, array in found.items()}


def reached(arrays: dict[str, Array], count: int) -> Reached:
    """The worker's answer for so many populations."""
    states, earlier = ([arrays[f"{name}{number}"] for number in range(1, count + 1)] for name in ("state", "earlier"))
    return Reached(tuple(states), tuple(earlier))


def digest(shape: dict[str, Any], arrays: dict[str, Array]) -> bytes:
    """Equal for equal structure and numbers; taken of contents, as a caller may change arrays in place."""
    found = hashlib.blake2b(json.dumps(shape).encode())
    for name, array in arrays.items():
        found.update(f"{name}{array.shape}".encode())
        found.update(array.data)
    return found.digest()


def _population(network: Network, number: int) -> dict[str, Any]:
    population = network.populations[number - 1]
    curve = population.curve
    kind = "smooth" if curve is not None else "readout" if number == len(network.populations) else "box"
    return {
        "kind": kind,
        "units": population.units,
        "arrays": {name: list(array.shape) for name, array in _arrays(population).items()},
        "curve": None if curve is None else curve.name,
        "step_bits": 0 if curve is None else curve.step_bits,
        "shift": population.shift,
        "step_shift": network.step_shift,
        "payload_shift": network.payload_shift,
        "payload_limit": network.payload_limit,
        "beta_fraction": network.beta_fraction,
        "dt": network.dt,
    }


def _arrays(population: Population) -> dict[str, Array]:
    arrays = {"bias": population.bias}
    if population.low is not None and population.high is not None:
        arrays["bounds"] = np.array([population.low, population.high])
    if population.curve is not None and population.curve.values is not None:
        arrays["curve"] = population.curve.values
    return arrays
