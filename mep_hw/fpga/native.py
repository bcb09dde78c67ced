"""The specification in native integers: whole data sets at once, equal to the oracle bit for bit.

`settle`, `run`, `learn` and `execute` take and give what those of `mep_hw.fpga.oracle` do. `Part` computes some layers
that follow each other, such as those of one node of a cluster, with drives from beyond its ends given from outside.
Sums have 32 bits where `spec.sums` says so: they must be those of `mep_hw.fpga.proof` for the values given.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from mep_hw.errors import InputError
from mep_hw.fpga.compiled import library
from mep_hw.fpga.oracle import Job, States, at_rest, in_turn
from mep_hw.fpga.spec import Spec, Values, Whole

Ends = tuple[Whole, Whole, Whole, Whole]
NARROW = 32  # bits of sums that 32-bit vectors hold


def execute(spec: Spec, values: Values, x: Whole, target: Whole, learning: bool = False) -> tuple[Job, Values]:
    """As `oracle.execute`."""
    return in_turn(run, learn, spec, values, x, target, learning)


def run(spec: Spec, values: Values, x: Whole, target: Whole) -> Job:
    """As `oracle.run`; both nudged phases are one batch."""
    part, rows = Part(spec), len(x)
    drive = part.up(values.weights[0], x)
    free = part.settle(values.weights, values.biases, drive, at_rest(spec, rows), spec.free_steps)
    beta = np.repeat(np.array([spec.beta, -spec.beta], dtype=np.int64), rows)
    both = part.settle(
        values.weights, values.biases, np.concatenate([drive, drive]),
        tuple(np.concatenate([s, s]) for s in free), spec.nudged_steps,
        beta=beta, target=np.concatenate([target, target]),
    )  # fmt: skip
    return Job(free, tuple(s[:rows] for s in both), tuple(s[rows:] for s in both))


def settle(
    spec: Spec,
    values: Values,
    x: Whole,
    start: States,
    steps: int,
    beta: Whole | None = None,
    target: Whole | None = None,
) -> States:
    """As `oracle.settle`.

    Raises:
        InputError: numbers beyond the formats, for which no width of a sum is proved.
    """
    part = Part(spec)
    return part.settle(values.weights, values.biases, part.up(values.weights[0], x), start, steps, beta, target)


def learn(
    spec: Spec, values: Values, registers: Sequence[Whole], x: Whole, plus: States, minus: States
) -> tuple[Values, tuple[Whole, ...]]:
    """As `oracle.learn`."""
    up, low, depth = (x, *plus), (x, *minus), spec.depth
    weights = [
        learned(spec, c, values.weights[c - 1], registers[c - 1], (up[c], up[c - 1], low[c], low[c - 1]))
        for c in range(1, depth + 1)
    ]
    biases = [
        learned_bias(spec, n, values.biases[n - 1], registers[depth + n - 1], up[n], low[n])
        for n in range(1, depth + 1)
    ]
    held = Values(tuple(w for w, _ in weights), tuple(b for b, _ in biases))
    return held, tuple(register for _, register in (*weights, *biases))


def learned(spec: Spec, c: int, weights: Whole, register: Whole, ends: Ends) -> tuple[Whole, Whole]:
    """The weights of coupling c (from 1) and its registers after the updates of one sample after the other.

    Args:
        ends: states (rows, units) of layer c and of layer c - 1 after the phase with +beta, then the same with -beta.
    """
    assert spec.learning is not None
    form = spec.weights[c - 1]
    return _learned(weights, register, ends, spec.learning.weight_shift[c - 1], form.least, form.most)


def learned_bias(
    spec: Spec, layer: int, biases: Whole, register: Whole, plus: Whole, minus: Whole
) -> tuple[Whole, Whole]:
    """The same for the biases of a layer (from 1), from its states (rows, units): a row of weights from ones."""
    assert spec.learning is not None
    ones = np.ones((len(plus), 1), dtype=np.int64)
    form = spec.layers[layer].bias
    shift = spec.learning.bias_shift[layer - 1]
    found, register = _learned(biases[None], register, (ones, plus, ones, minus), shift, form.least, form.most)
    return found[0], register


@dataclass(frozen=True)
class Part:
    """Layers `first` to `last` (from 1; None: the read-out) of a specification.

    macros: to compile with; only tests name any.
    """

    spec: Spec
    first: int = 1
    last: int | None = None
    macros: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def layers(self) -> range:
        return range(self.first, (self.last or self.spec.depth) + 1)

    def up(self, weights: Whole, below: Whole) -> Whole:
        """Products with states (rows, units) of layer first - 1 into layer `first`, from the weights that join them."""
        _within(self.spec, self.first - 1, below)
        return self._product(weights, below, False, self.spec.sums[self.first - 1].up)

    def down(self, weights: Whole, above: Whole) -> Whole:
        """Products with states (rows, units) of layer last + 1 into layer `last`, from the weights that join them."""
        last = self.layers[-1]
        _within(self.spec, last + 1, above)
        return self._product(weights, above, True, self.spec.sums[last - 1].down)

    def settle(
        self,
        weights: Sequence[Whole],
        biases: Sequence[Whole],
        up: Whole,
        start: Sequence[Whole],
        steps: int,
        beta: Whole | None = None,
        target: Whole | None = None,
        down: Whole | None = None,
    ) -> States:
        """The own layers' states (rows, units) after `steps` steps with the same drives from beyond both ends.

        Args:
            weights: of the couplings into the own layers, those into `first` too, which are not used again.
            up, down: products from the method of that name, (rows, units of first) and (rows, units of last).
            beta: (rows,) in units of 2^-beta_fraction, with target (rows, units of the read-out); None: not nudged.

        Raises:
            InputError: states, strengths or targets beyond their formats.
        """
        spec, rows = self.spec, len(up)
        states = tuple(np.array(s, dtype=np.int64, order="C") for s in start)
        for l, state in zip(self.layers, states, strict=True):
            _within(spec, l, state)
        if beta is not None:
            if len(beta) and int(np.abs(beta).max()) > spec.beta:
                rule, fix = f"must be at most {spec.beta}, which sums have room for", "raise beta of the specification"
                raise InputError("fpga", "beta", int(np.abs(beta).max()), rule=rule, fix=fix)
            assert target is not None
            form = spec.layers[-1].state
            _between(target, form.least, form.most, "target")
        given = [None if a is None else _array(a) for a in (up, down, beta, None if beta is None else target)]
        held = [_array(w) for w in weights], [_array(b) for b in biases]
        library(self.macros).mep_settle(
            len(states), _at(self._table), *(_all_at(arrays) for arrays in held), *map(_at, given),
            spec.beta_fraction, rows, steps, _all_at(states),
        )  # fmt: skip
        return states

    def _product(self, weights: Whole, states: Whole, transpose: bool, bits: int) -> Whole:
        held, given = _array(weights), _array(states)
        found = np.empty((len(given), held.shape[1] if transpose else held.shape[0]), dtype=np.int64)
        library(self.macros).mep_product(
            _at(held), *held.shape, transpose, bits > NARROW, _at(given), len(given), _at(found)
        )
        return found

    @cached_property
    def _table(self) -> Whole:
        return np.array([self._numbers(n) for n in self.layers], dtype=np.int64)

    def _numbers(self, number: int) -> tuple[int, ...]:
        """What the C++ code knows of a layer, in the order of its struct."""
        layer, widths, head = self.spec.layers[number], self.spec.sums[number - 1], self.spec.headroom(number)
        rounding = head + self.spec.step_shift
        # A step is a sum, half as large for each bit of rounding, and a state: two bits are room for both.
        wide = max(widths.up, widths.down, widths.total) > NARROW or layer.state.bits > NARROW - 2 or not rounding
        return layer.units, layer.low, layer.high, wide, *self.spec.shifts(number), head, rounding


def _learned(held: Whole, register: Whole, ends: Ends, shift: int, least: int, most: int) -> tuple[Whole, Whole]:
    found, drawn = np.array(held, dtype=np.int64, order="C"), np.array(register, dtype=np.int64)
    given = [_array(end) for end in ends]
    library().mep_learn(
        _at(found), *found.shape, *map(_at, given), len(given[0]), _at(drawn), len(drawn), shift, least, most
    )
    return found, drawn


def _within(spec: Spec, layer: int, states: Whole) -> None:
    _between(states, spec.layers[layer].low, spec.layers[layer].high, f"states of layer {layer}")


def _between(values: Whole, low: int, high: int, name: str) -> None:
    if values.size and not low <= int(values.min()) <= int(values.max()) <= high:
        worst = int(values.max()) if int(values.max()) > high else int(values.min())
        raise InputError("fpga", name, worst, rule=f"must be within {low} and {high}", fix="round and clamp them")


def _array(value: Whole) -> Whole:
    return np.ascontiguousarray(value, dtype=np.int64)


def _at(value: Whole | None) -> int | None:
    return None if value is None else value.ctypes.data


def _all_at(values: Sequence[Whole]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * len(values))(*map(_at, values))
