"""The estimators: orders of convergence, shapes, invariances, and what they refuse."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import machine
from problems import problem
from torch import Tensor

from mep_hw import estimator as estimators
from mep_hw.adjoint import exact_gradient
from mep_hw.contrast import Contrast
from mep_hw.errors import CapabilityError, InputError
from mep_hw.model import convnet, mlp
from mep_hw.outersum import OuterSum, dense
from mep_hw.substrates.base import Substrate

REAL = ("centered", "one_sided", "random_sign", "richardson", "continual")
SETTLED = {
    "compute__dtype": "float64", "settle__tolerance": 1e-13, "settle__nudged_tolerance": 1e-12,
    "settle__free_sweeps": 2000, "settle__nudged_sweeps": 2000,
}  # fmt: skip


def gradient(contrast: Contrast) -> Tensor:
    """All entries of the estimate of +dL/dtheta in one vector."""
    parts = [dense(update) for update in contrast.weights if update is not None]
    return -torch.cat([part.flatten() for part in (*parts, *(b for b in contrast.biases if b is not None))])


def exact(substrate: Substrate, x: Tensor, y: Tensor) -> Tensor:
    found = exact_gradient(substrate.model, substrate.settle(x).state, x, y)
    return torch.cat([part.flatten() for part in (*found.weights, *found.biases) if part is not None])


def error(substrate: Substrate, x: Tensor, y: Tensor, name: str, beta: float, points: int = 4) -> float:
    """Of the estimate, relative to the exact gradient."""
    truth = exact(substrate, x, y)
    return float((gradient(estimators.make(name, beta, points).total(substrate, x, y)) - truth).norm() / truth.norm())


@pytest.mark.parametrize("kind", ["sigmoid", "tanh"])
@pytest.mark.parametrize(
    ("name", "points", "order", "beta"),
    [
        ("one_sided", 4, 1, 0.01), ("continual", 4, 1, 0.01), ("centered", 4, 2, 0.02), ("richardson", 4, 4, 0.1),
        ("holomorphic", 2, 2, 0.02), ("holomorphic", 4, 4, 0.1), ("holomorphic", 6, 6, 0.1),
    ],
)  # fmt: skip
def test_order_of_convergence(kind: str, name: str, points: int, order: int, beta: float) -> None:
    """Halving beta divides the error by 2^order, on a smooth model that is fully settled."""
    case = problem(kind)
    substrate = machine(case.model, **SETTLED)
    coarse, fine = (error(substrate, case.x, case.y, name, b, points) for b in (beta, beta / 2))
    assert math.log2(coarse / fine) == pytest.approx(order, abs=0.15 * order)
    assert 1e-9 < fine < 0.02  # neither lost in rounding nor far from the limit


def test_random_sign_is_unbiased_to_first_order() -> None:
    """Over many samples the signs average to the centered estimate, whose error is of second order."""
    case = problem("sigmoid", samples=1)
    x, y = case.x.repeat(4096, 1), case.y.repeat(4096, 1)
    substrate = machine(case.model, **SETTLED)
    assert error(substrate, x, y, "random_sign", 0.02) < 0.1 * error(substrate, case.x, case.y, "one_sided", 0.02)


def test_random_sign_draws_from_the_machines_generator() -> None:
    case = problem("sigmoid", samples=32)
    method = estimators.make("random_sign", 0.1)
    a, b, c = (gradient(method.total(machine(case.model, seed=s, **SETTLED), case.x, case.y)) for s in (0, 0, 1))
    assert torch.equal(a, b) and not torch.equal(a, c)


@pytest.mark.parametrize("kind", ["mlp", "cross_entropy", "skip", "conv"])
def test_continual_telescopes_to_one_sided(kind: str) -> None:
    """With the weights left alone, the changes from sweep to sweep add up to the whole difference."""
    case = problem(kind)
    substrate = machine(case.model, **SETTLED)
    parts = list(estimators.make("continual", 0.05).contrasts(substrate, case.x, case.y))
    assert len(parts) > 3
    whole = gradient(estimators.make("one_sided", 0.05).total(substrate, case.x, case.y))
    torch.testing.assert_close(sum(gradient(part) for part in parts), whole, rtol=1e-8, atol=1e-10)
    summed = estimators.make("continual", 0.05).total(substrate, case.x, case.y)
    torch.testing.assert_close(gradient(summed), whole, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "copies"),
    [("centered", 2), ("one_sided", 2), ("random_sign", 2), ("richardson", 4), ("holomorphic", 8)],
)
def test_columns_of_the_outer_sums(name: str, copies: int) -> None:
    """The input is the same in every phase, so its coupling needs one column a sample; a complex product needs two."""
    case = problem("sigmoid", samples=5)
    contrast = estimators.make(name, 0.1).total(machine(case.model, **SETTLED), case.x, case.y)
    ranks = [update.rank for update in contrast.weights if isinstance(update, OuterSum)]
    assert ranks == [5] + [5 * copies] * (len(case.model.couplings) - 1)
    assert [update.shape for update in contrast.weights if update is not None] == [w.shape for w in case.model.weights]


@pytest.mark.parametrize("name", ["centered", "one_sided", "richardson", "holomorphic", "continual"])
@pytest.mark.parametrize("kind", ["sigmoid", "cross_entropy", "conv", "skip"])
def test_a_batch_is_the_mean_of_its_samples(name: str, kind: str) -> None:
    case = problem(kind)
    if name == "holomorphic" and not case.model.smooth:
        kind = "tanh"
        case = problem(kind)
    substrate, method = machine(case.model, **SETTLED), estimators.make(name, 0.1)
    together = gradient(method.total(substrate, case.x, case.y))
    single = [gradient(method.total(substrate, case.x[n : n + 1], case.y[n : n + 1])) for n in range(len(case.x))]
    torch.testing.assert_close(torch.stack(single).mean(0), together, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", REAL)
def test_untrained_couplings_and_missing_biases_are_none(name: str) -> None:
    case = problem("skip")
    contrast = estimators.make(name, 0.1).total(machine(case.model, **SETTLED), case.x, case.y)
    assert [u is None for u in contrast.weights] == [not k.trainable for k in case.model.couplings]
    for bias, layer in zip(contrast.biases, case.model.layers, strict=True):
        assert (None if bias is None else bias.shape) == layer.bias_shape


def test_one_sided_needs_a_settled_free_phase() -> None:
    """What the free phase still had to move is taken for an effect of the nudge: an error of residual / beta."""
    case = problem("sigmoid")
    short = machine(case.model, **{**SETTLED, "settle__free_sweeps": 3, "settle__tolerance": 0.0})
    full = machine(case.model, **SETTLED)
    truth = exact(full, case.x, case.y)

    def miss(name: str, beta: float) -> float:
        return float((gradient(estimators.make(name, beta).total(short, case.x, case.y)) - truth).norm() / truth.norm())

    # A hundredth of the nudge, a hundred times the error; both signs of a nudge go on settling alike.
    assert miss("one_sided", 1e-5) / miss("one_sided", 1e-3) == pytest.approx(100, rel=0.1)
    assert miss("one_sided", 1e-5) > 1 > 1e-6 > miss("centered", 1e-5)


@pytest.mark.parametrize(
    ("name", "beta", "points", "message"),
    [
        ("both_sided", 0.1, 4, "is not one of centered, one_sided"),
        ("centered", 0.0, 4, "beta = 0.0: must be above 0"),
        ("one_sided", -0.1, 4, "beta = -0.1: must be above 0"),
        ("richardson", math.nan, 4, "beta = nan: must be above 0"),
        ("random_sign", math.inf, 4, "beta = inf: must be above 0"),
        ("holomorphic", 0.1, 1, "points = 1: must be at least 2"),
    ],
)
def test_wrong_settings_are_refused(name: str, beta: float, points: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        estimators.make(name, beta, points)


def test_names_are_complete_and_take_hyphens() -> None:
    assert {estimators.make(name, 0.1).name for name in estimators.NAMES} == set(estimators.NAMES)
    assert estimators.make("one-sided", 0.1) == estimators.make("one_sided", 0.1)


def test_holomorphic_needs_a_smooth_model_and_a_complex_machine() -> None:
    method = estimators.make("holomorphic", 0.1)
    box = mlp(4, 3, 2, dtype=torch.float64)
    pooled = convnet((1, 6, 6), (2,), kernel=3, pool="max", activation="tanh", outputs=2, dtype=torch.float64)
    for model in (box, pooled):
        x = torch.zeros(1, *model.input_shape, dtype=torch.float64)
        with pytest.raises(CapabilityError, match="needs smooth activations and no max pooling"):
            method.total(machine(model, **SETTLED), x, torch.eye(1, 2, dtype=torch.float64))
    case = problem("tanh")
    with pytest.raises(CapabilityError, match="needs complex states"):
        method.total(machine(case.model, complex_states=False), case.x, case.y)


def test_holomorphic_runs_through_convolution_and_average_pooling() -> None:
    """torch has their transposes for real numbers only; the two parts of a complex state go through one by one."""
    model = convnet((1, 6, 6), (2, 3), kernel=3, padding=1, activation="tanh", outputs=2, dtype=torch.float64)
    x = torch.rand(3, 1, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.eye(3, 2, dtype=torch.float64)
    assert error(machine(model, **SETTLED), x, y, "holomorphic", 0.005) < 1e-6
