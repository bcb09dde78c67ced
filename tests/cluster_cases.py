"""Clusters that contract, and the fixed points that they must reach, from the formulas in floating point."""

from __future__ import annotations

from dataclasses import replace

import fpga_cases
import numpy as np
from fpga_cases import Case
from numpy.typing import NDArray

from mep_hw.fpga import oracle, proof
from mep_hw.fpga.cluster.partition import on_nodes
from mep_hw.fpga.spec import Values

Reals = NDArray[np.float64]
UNITS = (8, 4, 8, 4, 3)


def exact(nodes: int, *, rows: int = 2, seed: int = 1, steps: tuple[int, int] = (7, 5)) -> Case:
    """A case that learns, on `nodes` nodes."""
    given = fpga_cases.make(*UNITS, seed=seed, learning=True, rows=rows, steps=steps)
    return replace(given, spec=on_nodes(given.spec, nodes))


def contractive(nodes: int, *, rows: int = 1, seed: int = 1, scale: float = 0.3, learning: bool = False) -> Case:
    """Weights so small that the step contracts, and steps enough to stand still."""
    given = fpga_cases.make(*UNITS, seed=seed, rows=rows, steps=(300, 300), learning=learning)
    values = Values(tuple((w * scale).astype(np.int64) for w in given.values.weights), given.values.biases)
    sums = proof.sums(given.spec, None if learning else values)
    return replace(given, spec=on_nodes(given.spec.model_copy(update={"sums": sums}), nodes), values=values)


def same(found: oracle.Job, wanted: oracle.Job) -> bool:
    """All states of all phases."""
    return all(
        bool((a == b).all())
        for phase in ("free", "plus", "minus")
        for a, b in zip(getattr(found, phase), getattr(wanted, phase), strict=True)
    )


def same_values(found: Values, wanted: Values) -> bool:
    pairs = zip((*found.weights, *found.biases), (*wanted.weights, *wanted.biases), strict=True)
    return all(bool((a == b).all()) for a, b in pairs)


def fixed_point(case: Case, sign: int) -> list[Reals]:
    """Of the dynamics without rounding, (rows, units) per layer in units of its states; sign of beta, 0: free."""
    spec, values = case.spec, case.values
    fine = [2.0**-layer.state.fraction for layer in spec.layers]
    weights = [w * 2.0**-form.fraction for w, form in zip(values.weights, spec.weights, strict=True)]
    biases = [b * fine[n] for n, b in enumerate(values.biases, start=1)]
    state: list[Reals] = [
        np.asarray(case.x * fine[0], dtype=np.float64),
        *(np.zeros((len(case.x), layer.units)) for layer in spec.layers[1:]),
    ]
    beta = sign * spec.beta * 2.0**-spec.beta_fraction
    for _ in range(3000):
        new: list[Reals] = [state[0]]
        for n, layer in enumerate(spec.layers[1:], start=1):
            drive = biases[n - 1] + state[n - 1] @ weights[n - 1].T
            if n < spec.depth:
                drive = drive + state[n + 1] @ weights[n]
            else:
                drive = (drive + beta * case.y * fine[n]) / (1 + beta)
            new.append(np.clip(drive, layer.low * fine[n], layer.high * fine[n]))
        moved = max(float(np.abs(a - b).max()) for a, b in zip(state, new, strict=True))
        state = new
        if moved < 1e-13:
            return [np.asarray(s / unit) for s, unit in zip(state[1:], fine[1:], strict=True)]
    raise AssertionError("does not converge")
