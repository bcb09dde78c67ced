"""Specifications with values and samples that reach every corner of their formats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mep_hw.fpga import oracle, proof
from mep_hw.fpga.spec import Format, Layer, Learning, Spec, Sums, Values, Whole

FORMATS = (Format(bits=18, fraction=16), Format(bits=12, fraction=9), Format(bits=16, fraction=13))


@dataclass(frozen=True)
class Case:
    """A specification, its values, and samples: x (rows, inputs), y (rows, outputs) in the read-out's format."""

    spec: Spec
    values: Values
    x: Whole
    y: Whole


def make(
    *units: int,
    lanes: int = 4,
    seed: int = 0,
    rows: int = 3,
    steps: tuple[int, int] = (7, 5),
    learning: bool = False,
    extreme: bool = False,
    nodes: tuple[tuple[int, ...], ...] | None = None,
) -> Case:
    """Layers of `units` with formats that differ from layer to layer.

    Args:
        extreme: weights, biases, inputs and targets at the ends of their formats, so that states saturate; else
            of a size at which states move inside of their range.
    """
    random = np.random.default_rng(seed)
    layers: list[Layer] = []
    for number, count in enumerate(units):
        state = FORMATS[(number + seed) % len(FORMATS)]
        one = 1 << state.fraction
        low, high = [(0, one), (-one, one), (one // 4, one)][(number + seed) % 3]
        if number == len(units) - 1:
            low, high = state.least, state.most
        layers.append(Layer(units=count, state=state, low=low, high=high, bias_bits=state.bits + seed % 3))
    weights = tuple(Format(bits=10 + 3 * (c + seed) % 8, fraction=8 + (c + seed) % 5) for c in range(len(units) - 1))
    depth = len(weights)
    spec = Spec(
        schema=1, name="-".join(map(str, units)), layers=tuple(layers), weights=weights,
        sums=(Sums(up=1, down=0, total=1),) * depth, step_shift=1 + seed % 2, free_steps=steps[0],
        nudged_steps=steps[1], beta=32, beta_fraction=7, lanes=lanes,
        nodes=nodes or (tuple(range(1, depth + 1)),),
        learning=None if not learning else Learning(
            weight_shift=tuple(
                max(0, layers[c + 1].state.fraction + layers[c].state.fraction - weights[c].fraction + 2)
                for c in range(depth)
            ),
            bias_shift=tuple(2 + c for c in range(depth)), seed=seed,
        ),
    )  # fmt: skip
    values = Values(
        tuple(_draw(random, f, (units[c + 1], units[c]), extreme, units[c]) for c, f in enumerate(weights)),
        tuple(_draw(random, layer.bias, (layer.units,), extreme, 16) for layer in layers[1:]),
    )
    spec = spec.model_copy(update={"sums": proof.sums(spec, None if learning or extreme else values)})
    x = _states(random, layers[0], rows, extreme)
    top = layers[-1].state
    target = random.choice([top.least, top.most, 0], (rows, units[-1])) if extreme else np.zeros((rows, units[-1]))
    target = target.astype(np.int64)
    if not extreme:
        target[np.arange(rows), random.integers(units[-1], size=rows)] = 1 << top.fraction
    return Case(spec, values, x, target)


def starts(case: Case, seed: int = 0, extreme: bool = False) -> oracle.States:
    """Any states within the layers' ranges, (rows, units) of layers 1 to L."""
    random = np.random.default_rng(seed)
    return tuple(_states(random, layer, len(case.x), extreme) for layer in case.spec.layers[1:])


def _draw(random: np.random.Generator, form: Format, shape: tuple[int, ...], extreme: bool, fan_in: int) -> Whole:
    if extreme:
        return random.choice([form.least, form.most, 0, 1, -1], shape).astype(np.int64)
    size = min(form.most, (1 << form.fraction) / np.sqrt(fan_in))
    return np.clip(np.rint(random.standard_normal(shape) * size), form.least, form.most).astype(np.int64)


def _states(random: np.random.Generator, layer: Layer, rows: int, extreme: bool) -> Whole:
    if extreme:
        return random.choice([layer.low, layer.high], (rows, layer.units)).astype(np.int64)
    return random.integers(layer.low, layer.high, (rows, layer.units), endpoint=True, dtype=np.int64)
