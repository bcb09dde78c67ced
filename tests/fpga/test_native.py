"""The native executable against the oracle, bit for bit, over random and extreme numbers; and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import fpga_cases
import fpga_programs
import numpy as np
import pytest
from fpga_cases import Case

from mep_hw.errors import InputError, MachineError
from mep_hw.fpga import compiled, native, oracle, proof
from mep_hw.fpga.lfsr import seeded
from mep_hw.fpga.native import Part

CASES = {
    "one hidden": dict(units=(8, 4, 3), seed=0),
    "two hidden": dict(units=(12, 20, 16, 5), seed=1),
    "no hidden": dict(units=(8, 4), seed=3),
    "extreme": dict(units=(16, 12, 3), seed=2, extreme=True),
    "deep extreme": dict(units=(4, 8, 12, 4, 2), seed=4, extreme=True),
    "coarse steps": dict(units=(8, 16, 4), seed=5, steps=(40, 3)),
}
ROWS = (1, 2, 16, 45)  # one sample, part of a block, a whole one, some and a part


@pytest.fixture(autouse=True)
def _compiler() -> None:
    fpga_programs.need("g++")


def case(name: str, **more: object) -> Case:
    settings = dict(CASES[name]) | more
    units = settings.pop("units")
    return fpga_cases.make(*units, **settings)  # pyright: ignore


def same(a: oracle.Job, b: oracle.Job) -> int:
    """How many states were compared."""
    count = 0
    for phase in ("free", "plus", "minus"):
        for one, other in zip(getattr(a, phase), getattr(b, phase), strict=True):
            np.testing.assert_array_equal(one, other)
            count += one.size
    return count


def test_states_equal_the_oracle() -> None:
    count = 0
    for name in CASES:
        for rows in ROWS:
            given = case(name, rows=rows)
            one, _ = native.execute(given.spec, given.values, given.x, given.y)
            other, _ = oracle.execute(given.spec, given.values, given.x, given.y)
            count += same(one, other)
    assert count >= 10_000, count


def test_any_start_and_strengths_of_each_row() -> None:
    count = 0
    for name in CASES:
        for extreme in (False, True):
            given = case(name, rows=45)
            random = np.random.default_rng(7)
            start = fpga_cases.starts(given, 3, extreme)
            beta = random.integers(-given.spec.beta, given.spec.beta, 45, endpoint=True)
            settings = (given.spec, given.values, given.x, start, 4)
            for nudge in ((), (beta, given.y)):
                for a, b in zip(native.settle(*settings, *nudge), oracle.settle(*settings, *nudge), strict=True):
                    np.testing.assert_array_equal(a, b)
                    count += a.size
    assert count >= 10_000, count


def test_wide_and_narrow_sums_are_the_same() -> None:
    given = case("two hidden", rows=20)
    assert max(max(s.up, s.down, s.total) for s in given.spec.sums) <= native.NARROW
    wide = [s.model_copy(update={"up": 60, "down": 60, "total": 60}) for s in given.spec.sums]
    spec = given.spec.model_copy(update={"sums": tuple(wide)})
    same(*(native.run(s, given.values, given.x, given.y) for s in (spec, given.spec)))
    assert any(max(s.up, s.total) > native.NARROW for s in case("extreme").spec.sums)


@pytest.mark.parametrize("name", CASES)
def test_updates_equal_the_oracle(name: str) -> None:
    given = case(name, learning=True, rows=11, lanes=4)
    job, after = native.execute(given.spec, given.values, given.x, given.y, learning=True)
    expected, held = oracle.execute(given.spec, given.values, given.x, given.y, learning=True)
    same(job, expected)
    for a, b in zip((*after.weights, *after.biases), (*held.weights, *held.biases), strict=True):
        np.testing.assert_array_equal(a, b)
    if name != "deep extreme":  # where all states of both phases are at the same bounds
        assert any((a != b).any() for a, b in zip(after.weights, given.values.weights, strict=True))


def test_many_updates_from_any_states_with_registers_that_go_on() -> None:
    given = case("two hidden", learning=True, rows=30, extreme=True)
    ends = fpga_cases.starts(given, 1, extreme=True), fpga_cases.starts(given, 2)
    registers = seeded(given.spec)
    one = native.learn(given.spec, given.values, registers, given.x, *ends)
    other = oracle.learn(given.spec, given.values, registers, given.x, *ends)
    arrays = [(*values.weights, *values.biases, *drawn) for values, drawn in (one, other)]
    for a, b in zip(*arrays, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (registers[0] == seeded(given.spec)[0]).all()  # what is given is left alone


def test_a_wrong_rounding_is_found() -> None:
    given = case("two hidden", rows=16)
    spec, values = given.spec, given.values
    start = fpga_cases.starts(given, 3)
    expected = oracle.settle(spec, values, given.x, start, 5)
    for macros, right in (((), True), (("MEP_BREAK_ROUNDING",), False)):
        part = Part(spec, macros=macros)
        found = part.settle(values.weights, values.biases, part.up(values.weights[0], given.x), start, 5)
        assert all((a == b).all() for a, b in zip(found, expected, strict=True)) is right


def test_numbers_without_a_proof_are_refused() -> None:
    given = case("one hidden")
    spec, values, start = given.spec, given.values, fpga_cases.starts(given)
    beta = np.full(len(given.x), spec.beta + 1)
    for x, begin, nudge, name in (
        (given.x + spec.layers[0].high + 1, start, (), "states of layer 0"),
        (given.x, (start[0] - 2 * spec.layers[1].high, start[1]), (), "states of layer 1"),
        (given.x, start, (beta, given.y), "beta"),
        (given.x, start, (beta - 1, given.y + (1 << 20)), "target"),
    ):
        with pytest.raises(InputError, match=name):
            native.settle(spec, values, x, begin, 2, *nudge)


def test_a_block_that_stands_still_is_where_it_stays() -> None:
    given = case("one hidden", rows=20)
    settings = given.spec, given.values, given.x, oracle.at_rest(given.spec, 20)
    long = native.settle(*settings, 300)
    for a, b in zip(long, oracle.settle(*settings, 300), strict=True):
        np.testing.assert_array_equal(a, b)


def test_libraries_are_kept_by_what_they_are_made_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = compiled.compiled()
    stamp = made.stat().st_mtime_ns
    assert compiled.compiled() == made and made.stat().st_mtime_ns == stamp
    assert made.parent == tmp_path / "mep_hw" / "fpga" and list(made.parent.iterdir()) == [made]


def test_a_missing_compiler_names_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(MachineError, match=r"install the package g\+\+"):
        compiled.compiled()
    assert not list(tmp_path.iterdir())


def test_weights_of_a_proof_fill_its_widths() -> None:
    """States that reach the bound of a sum of 32 bits, where one bit less would wrap."""
    given = case("one hidden", rows=1)
    spec, form = given.spec, given.spec.weights[0]
    weights = np.full(given.values.weights[0].shape, form.most)
    values = replace(given.values, weights=(weights, *given.values.weights[1:]))
    spec = spec.model_copy(update={"sums": proof.sums(spec, values)})
    x = np.full((1, spec.layers[0].units), spec.layers[0].high)
    found = Part(spec).up(values.weights[0], x)
    assert (found == x @ weights.T).all() and found.max() >= 1 << (spec.sums[0].up - 2)
