"""The oracle against plain loops over Python's unbounded integers, and the widths of its sums."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import fpga_cases
import numpy as np
import pytest
from fpga_cases import Case

from mep_hw.fpga import oracle, proof
from mep_hw.fpga.lfsr import seeded
from mep_hw.fpga.spec import Spec, Values

CASES = {
    "one hidden": dict(units=(8, 4, 3), seed=0),
    "two hidden": dict(units=(4, 8, 4, 5), seed=1),
    "extreme": dict(units=(8, 4, 3), seed=2, extreme=True),
    "deep extreme": dict(units=(4, 4, 4, 4, 2), seed=4, extreme=True),
}


def case(name: str, **more: object) -> Case:
    settings = dict(CASES[name]) | more
    units = settings.pop("units")
    return fpga_cases.make(*units, **settings)  # pyright: ignore


def nearest(value: Fraction) -> int:
    return floor(value + Fraction(1, 2))


def plain(spec: Spec, values: Values, x: list[int], start: list[list[int]], steps: int, beta: int, y: list[int]):
    """One phase of one sample in fractions, from the formulas and without any shift; and the widest sums."""
    state = [[0], *start]
    unit = [Fraction(1, 1 << layer.state.fraction) for layer in spec.layers]
    for _ in range(steps):
        state[0] = x
        new = [x]
        for l in range(1, spec.depth + 1):
            row: list[int] = []
            for i in range(spec.layers[l].units):
                weight = Fraction(1, 1 << spec.weights[l - 1].fraction)
                total = values.biases[l - 1][i].item() * unit[l]
                for j, s in enumerate(state[l - 1]):
                    total += values.weights[l - 1][i, j].item() * weight * s * unit[l - 1]
                if l < spec.depth:
                    weight = Fraction(1, 1 << spec.weights[l].fraction)
                    for k, s in enumerate(state[l + 1]):
                        total += values.weights[l][k, i].item() * weight * s * unit[l + 1]
                own = state[l][i]
                if l == spec.depth and beta:
                    total += nearest(Fraction(beta * (y[i] - own), 1 << spec.beta_fraction)) * unit[l]
                moved = own + nearest((total / unit[l] - own) / (1 << spec.step_shift))
                row.append(min(max(moved, spec.layers[l].low), spec.layers[l].high))
            new.append(row)
        state = new
    return state[1:]


@pytest.mark.parametrize("name", CASES)
def test_phases_are_those_of_the_formulas(name: str) -> None:
    given = case(name)
    spec, values, x, y = given.spec, given.values, given.x, given.y
    values.check(spec)
    job = oracle.run(spec, values, x, y)
    for row in range(len(x)):
        rest = [[layer.rest] * layer.units for layer in spec.layers[1:]]
        free = plain(spec, values, x[row].tolist(), rest, spec.free_steps, 0, [])
        assert [s[row].tolist() for s in job.free] == free
        for states, beta in ((job.plus, spec.beta), (job.minus, -spec.beta)):
            nudged = plain(spec, values, x[row].tolist(), free, spec.nudged_steps, beta, y[row].tolist())
            assert [s[row].tolist() for s in states] == nudged
    moved = [np.unique(s).size for s in job.free]
    assert max(moved) > 2  # not all at one bound


def test_both_nudges_move_the_first_layer() -> None:
    given = case("one hidden")
    job = oracle.run(given.spec, given.values, given.x, given.y)
    assert (job.plus[0] != job.minus[0]).any()


@pytest.mark.parametrize("name", CASES)
def test_updates_are_those_of_the_formulas(name: str) -> None:
    given = case(name, learning=True)
    spec, values = given.spec, given.values
    assert spec.learning is not None
    plus, minus = fpga_cases.starts(given, 1, extreme=True), fpga_cases.starts(given, 2)
    registers = seeded(spec)
    found, after = oracle.learn(spec, values, registers, given.x, plus, minus)
    words = [[int(v) for v in register] for register in registers]

    def draw(index: int, shift: int) -> list[int]:
        for lane, v in enumerate(words[index]):
            v ^= v << 13 & 0xFFFFFFFF
            v ^= v >> 17
            v ^= v << 5 & 0xFFFFFFFF
            words[index][lane] = v
        return [v >> (32 - shift) for v in words[index]]

    weights, biases = [w.tolist() for w in values.weights], [b.tolist() for b in values.biases]
    for row in range(len(given.x)):
        a, b = [given.x[row], *(s[row] for s in plus)], [given.x[row], *(s[row] for s in minus)]
        for c, form in enumerate(spec.weights):
            shift = spec.learning.weight_shift[c]
            for i in range(len(weights[c])):
                for j in range(len(weights[c][i])):
                    if j % spec.lanes == 0:
                        drawn = draw(c, shift)
                    moved = int(a[c + 1][i]) * int(a[c][j]) - int(b[c + 1][i]) * int(b[c][j])
                    new = weights[c][i][j] + floor(Fraction(moved + drawn[j % spec.lanes], 1 << shift))
                    weights[c][i][j] = min(max(new, form.least), form.most)
        for c, shift in enumerate(spec.learning.bias_shift):
            form = spec.layers[c + 1].bias
            for i in range(len(biases[c])):
                if i % spec.lanes == 0:
                    drawn = draw(spec.depth + c, shift)
                moved = int(a[c + 1][i]) - int(b[c + 1][i])
                new = biases[c][i] + floor(Fraction(moved + drawn[i % spec.lanes], 1 << shift))
                biases[c][i] = min(max(new, form.least), form.most)
    assert [w.tolist() for w in found.weights] == weights
    assert [b.tolist() for b in found.biases] == biases
    assert [register.tolist() for register in after] == words
    assert any((new != old).any() for new, old in zip(found.weights, values.weights, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_no_sum_leaves_its_bits_and_some_come_close(name: str) -> None:
    """States at the ends of their ranges with the signs of one unit's weights reach its bound."""
    given = case(name)
    spec, values = given.spec, given.values
    for l, widths in enumerate(proof.sums(spec, values), start=1):
        below, weights = spec.layers[l - 1], values.weights[l - 1]
        ends = np.stack([weights * below.low, weights * below.high])
        most, least = np.maximum(ends.max(0), 0).sum(1).max(), np.minimum(ends.min(0), 0).sum(1).min()
        assert -(1 << (widths.up - 1)) <= least and most < 1 << (widths.up - 1)
        assert most >= 1 << (widths.up - 2) or least < -(1 << (widths.up - 2))  # a bit less would not do
        any_weights = proof.sums(spec, None)[l - 1]
        assert any_weights.up >= widths.up and any_weights.total >= widths.total


def test_lanes_do_not_follow_each_other() -> None:
    given = case("one hidden", learning=True, rows=1)
    registers = seeded(given.spec)
    whole = np.concatenate(registers)
    assert len(set(whole.tolist())) == len(whole) and whole.min() > 0 and whole.max() < 2**32


def test_learning_in_a_row_is_one_job_and_one_update_after_the_other() -> None:
    given = case("two hidden", learning=True)
    job, values = oracle.execute(given.spec, given.values, given.x, given.y, learning=True)
    held, registers = given.values, seeded(given.spec)
    for row in range(len(given.x)):
        x, y = given.x[row : row + 1], given.y[row : row + 1]
        one = oracle.run(given.spec, held, x, y)
        for phase in ("free", "plus", "minus"):
            for a, b in zip(getattr(job, phase), getattr(one, phase), strict=True):
                assert (a[row] == b[0]).all()
        held, registers = oracle.learn(given.spec, held, registers, x, one.plus, one.minus)
    assert all((a == b).all() for a, b in zip(values.weights, held.weights, strict=True))
    assert all((a == b).all() for a, b in zip(values.biases, held.biases, strict=True))
