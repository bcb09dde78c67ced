"""The certificate against the formulas in fractions and in floating point, and what it says of resting states."""

from __future__ import annotations

from fractions import Fraction

import cluster_cases
import fpga_cases
import numpy as np
import pytest
from fpga_cases import Case

from mep_hw.errors import CapabilityError, Notice
from mep_hw.fpga import oracle
from mep_hw.fpga.cluster.certificate import Certificate, certify, require
from mep_hw.fpga.spec import Values


def jacobian(case: Case) -> list[list[list[tuple[int, int, Fraction]]]]:
    """By layer and unit: (layer, unit, |entry|) of its neighbours, in units of the states, in fractions."""
    spec, found = case.spec, []
    unit = [Fraction(1, 1 << layer.state.fraction) for layer in spec.layers]
    for n in range(1, spec.depth + 1):
        rows = []
        for i in range(spec.layers[n].units):
            row = []
            for other, coupling in ((n - 1, n), (n + 1, n + 1)):
                if 1 <= other <= spec.depth:
                    weights, form = case.values.weights[coupling - 1], spec.weights[coupling - 1]
                    mine = weights[i] if other < n else weights[:, i]
                    fine = Fraction(1, 1 << form.fraction) * unit[other] / unit[n]
                    row += [(other, j, abs(int(w)) * fine) for j, w in enumerate(mine)]
            rows.append(row)
        found.append(rows)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_the_bounds_satisfy_their_condition(seed: int) -> None:
    case = cluster_cases.contractive(3, seed=seed)
    found, spec = certify(case.spec, case.values), case.spec
    assert found.norm == "units" and found.factor < 1 and 0 < found.radius < 1
    v = [[Fraction(float(x)) for x in bound] for bound in found.bounds]
    beta, step = Fraction(spec.beta, 1 << spec.beta_fraction), Fraction(1, 1 << spec.step_shift)
    worst = Fraction(0)
    for n, rows in enumerate(jacobian(case), start=1):
        for i, row in enumerate(rows):
            drawn = sum(entry * v[m - 1][j] for m, j, entry in row)
            for b in (0, beta, -beta) if n == spec.depth else (0,):
                own = abs(1 - (1 + b) * step) * v[n - 1][i] + step * drawn  # how far a step takes a unit from s*
                rounding = Fraction(1, 2) + (step / 2 if n == spec.depth else 0)
                assert own + rounding <= v[n - 1][i] * (1 + Fraction(1, 1 << 40))
                worst = max(worst, own / v[n - 1][i])
    assert abs(float(worst) - found.factor) < 1e-9 and found.factor >= float(worst)


@pytest.mark.parametrize("seed", range(4))
def test_runs_that_rest_are_within_the_bounds(seed: int) -> None:
    case = cluster_cases.contractive(3, seed=seed, rows=2)
    found = certify(case.spec, case.values)
    job = oracle.run(case.spec, case.values, case.x, case.y)
    for sign, states in ((0, job.free), (1, job.plus), (-1, job.minus)):
        wanted = cluster_cases.fixed_point(case, sign)
        for s, w, bound, layer in zip(states, wanted, found.bounds, case.spec.layers[1:], strict=True):
            assert (np.abs(s - w) <= bound).all()
            assert bound.max() < 0.1 * (layer.high - layer.low)  # else it would say nothing


@pytest.mark.parametrize("shift", [0, 3, 6])
def test_rounding_leaves_a_single_layer_as_far_away_as_the_bound_says(shift: int) -> None:
    """Without neighbours that move, a state stands still once it is within 2^k half units of its drive."""
    given = fpga_cases.make(8, 64, seed=3, rows=4)
    spec = given.spec.model_copy(update={"step_shift": shift, "free_steps": 2000, "beta": 1, "beta_fraction": 16})
    case = Case(spec, given.values, given.x, given.y)
    (bound,) = certify(spec, given.values).bounds
    assert bound.max() == pytest.approx((2**shift + 1) / 2, rel=2e-3)
    rest = oracle.settle(spec, given.values, given.x, oracle.at_rest(spec, 4), spec.free_steps)
    distance = np.abs(rest[0] - cluster_cases.fixed_point(case, 0)[0]).max()
    assert 0.9 * 2**shift / 2 <= distance <= bound.max()


def test_a_state_on_its_way_is_within_what_its_change_says() -> None:
    case = cluster_cases.contractive(2)
    spec, values, found = case.spec, case.values, certify(case.spec, case.values)
    wanted, state = cluster_cases.fixed_point(case, 0), fpga_cases.starts(case, extreme=True)
    for _ in range(40):
        new = oracle.settle(spec, values, case.x, state, 1)
        limits = found.distance([(b - a)[0] for a, b in zip(state, new, strict=True)])
        for s, w, limit in zip(state, wanted, limits, strict=True):
            assert (np.abs(s - w)[0] <= limit).all()
        state = new


def by_layers() -> Case:
    """Weights of both signs, too large for a certificate by units."""
    return cluster_cases.contractive(3, seed=1, scale=0.43)


def test_weights_of_both_signs_are_certified_by_layers() -> None:
    case = by_layers()
    found = certify(case.spec, case.values)
    assert found.norm == "layers" and found.factor < 1
    job = oracle.run(case.spec, case.values, case.x, case.y)
    for sign, states in ((0, job.free), (1, job.plus), (-1, job.minus)):
        for s, w, bound in zip(states, cluster_cases.fixed_point(case, sign), found.bounds, strict=True):
            assert np.linalg.norm(s - w) <= bound[0]  # of the whole layer
    absolute = Values(tuple(np.abs(w) for w in case.values.weights), case.values.biases)
    with pytest.raises(CapabilityError):
        certify(case.spec, absolute)


def test_without_certificate_is_refused_or_noticed() -> None:
    case = cluster_cases.contractive(2, scale=1.0)
    with pytest.raises(CapabilityError, match="no certificate: .* spectral radius of 2.* by units and 2"):
        require(case.spec, case.values)
    with pytest.warns(Notice, match="without certificate"):
        assert require(case.spec, case.values, force=True) is None


def test_a_nudge_that_pushes_harder_than_the_leak_has_none() -> None:
    case = cluster_cases.contractive(2)
    strong = case.spec.model_copy(update={"beta": 1 << case.spec.beta_fraction})
    with pytest.raises(CapabilityError, match="inf"):
        certify(strong, case.values)


def test_the_certificate_ends_where_the_radius_passes_one() -> None:
    """Scaling all weights by a factor scales the radius by it."""
    case = cluster_cases.contractive(2, seed=2)
    found = certify(case.spec, case.values)
    larger = [int(0.97 / found.radius * 64) / 64, 1.6 / found.radius]
    scaled = [Values(tuple((w * f).astype(np.int64) for w in case.values.weights), case.values.biases) for f in larger]
    held = certify(case.spec, scaled[0])
    assert isinstance(held, Certificate) and held.radius > found.radius
    with pytest.raises(CapabilityError):
        certify(case.spec, scaled[1])
