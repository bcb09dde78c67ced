"""How far learning inside of Loihi's engine agrees with EP: `lava-learn`, an experiment on one plastic connection.

A linear layer of 6 units settles above 12 clamped inputs, free and nudged; the engine of Lava's `LearningDense` turns
the rates of both phases into weight changes (`mep_hw/loihi/worker/learning.py`), sample after sample. Held against it:
the same stochastic descent in double precision, from the closed form of both states, o = W x + b and
(o + beta y) / (1 + beta), whose contrast is that of EP without any rounding.

In fixed point one random number per phase rounds all synapses of a connection, so that their errors add up in the sum
of a unit; now and then that pushes one out of the range of its rate, where it gets no contrast and stays.

Valid for this: one layer without feedback, positive inputs, rates within [0, 1]. Two connections of one coupling would
round by themselves and drift apart; that was not tried. Agreement is with Lava's simulation, which calls its own
fixed-point engine approximate, and not with a chip.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mep_hw.errors import InputError
from mep_hw.loihi.lava import Lava
from mep_hw.loihi.network import Array

SOURCES, TARGETS = 12, 6
STEPS = 19  # updates of a phase; with its first step 20, of the 63 that an epoch of learning may have
BETA = 1.0


@dataclass(frozen=True)
class Agreement:
    """Total weight changes of the engine against those of EP.

    correlation: of all weights' changes (Pearson).
    gain: slope of the engine's changes over those of EP.
    saturated: share of samples in which the worst unit ends outside of [0, 1], where its rate no longer tells anything.
    """

    fixed: bool
    samples: int
    seed: int
    correlation: float
    gain: float
    saturated: float


def agreement(python: Path, *, fixed: bool, samples: int = 60, seed: int = 0, timeout_s: float = 600.0) -> Agreement:
    """Train one connection in Lava's engine, and hold its changes against EP's.

    Raises:
        InputError: fewer than 1 sample.
        MachineError: Lava failed, see `mep_hw.loihi.lava`.
    """
    if samples < 1:
        raise InputError("loihi learn", "samples", samples, rule="must be at least 1", fix="leave it at 60")
    random = np.random.default_rng(seed)
    inputs = random.uniform(0.05, 1, (samples, SOURCES))
    teacher, weights = random.normal(0, 0.15, (2, TARGETS, SOURCES))
    target = np.clip(0.5 + (inputs - 0.5) @ teacher.T, 0, 1)
    bias = 0.5 - weights.sum(1) / 2
    arrays = {"inputs": inputs, "weights": weights, "bias": bias, "target": target, "beta": np.full(samples, BETA)}
    with Lava(python, batched=False, timeout_s=timeout_s) as lava:
        found = lava.ask({"what": "learn", "fixed": fixed, "steps": STEPS, "seed": seed}, arrays)
    engine = found["after"] - found["before"]
    expected = descent(found["before"], bias, inputs, target, float(found["rate"]))
    gain = float((engine * expected).sum() / (expected * expected).sum())
    correlation = float(np.corrcoef(engine.ravel(), expected.ravel())[0, 1])
    free = inputs @ found["after"].T + bias
    saturated = float(((free < 0) | (free > 1)).mean(0).max())
    return Agreement(fixed, samples, seed, correlation, gain, saturated)


def descent(weights: Array, bias: Array, inputs: Array, target: Array, rate: float) -> Array:
    """Weight changes (targets, sources) by EP's own contrast, one sample after the other."""
    moved = weights.copy()
    for x, y in zip(inputs, target, strict=True):
        free = moved @ x + bias
        nudged = (free + BETA * y) / (1 + BETA)
        moved += rate * np.outer(np.clip(nudged, 0, 1) - np.clip(free, 0, 1), x)
    return moved - weights
