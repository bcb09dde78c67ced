"""Properties: no sum leaves its proved width, and a quantised free state is within a derived distance of equilibrium.

The distance. A machine that stands still in steps of 2^-k has s = clamp(D(s) + r) with |r| <= 2^(k-1) steps of the
states, as anything more would round to a move; D is the drive with rounded weights, biases and inputs. An equilibrium
in real numbers has s* = clamp(D*(s*)). Clamping brings no two numbers apart, so with A the symmetric matrix of all
rounded couplings between layers

    |s - s*| <= |A| |s - s*| + |d|,   d_i = sum_j |dW_ij| |s*_j| + |W_ij| |dx_j| + |db_i| + |r_i|

in Euclidean norms, and the distance is at most |d| / (1 - |A|). Rounding errors are at most half a step each.
"""

from __future__ import annotations

import fpga_cases
import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mep_hw
from mep_hw import machine
from mep_hw.cards import load_backend
from mep_hw.cards.changed import changed
from mep_hw.fpga import oracle, proof
from mep_hw.fpga.numbers import Reals, real_states, whole_inputs
from mep_hw.fpga.quantised import Formats, quantised
from mep_hw.fpga.spec import Format, Spec, Values
from mep_hw.gradcheck import precise
from mep_hw.model import Model
from mep_hw.spec import BoxSpec

SIZES = (6, 8, 4, 3)
STEPS = 400  # far more than these models need to stand still


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), extreme=st.booleans(), learning=st.booleans(), order=st.integers(0, 10**6))
def test_no_partial_sum_leaves_its_width(seed: int, extreme: bool, learning: bool, order: int) -> None:
    case = fpga_cases.make(4, 8, 4, 5, seed=seed, extreme=extreme, learning=learning)
    spec, values = case.spec, case.values
    random = np.random.default_rng(order)
    tight = proof.sums(spec, values)
    states = [case.x, *fpga_cases.starts(case, order, extreme=bool(order % 2))]
    for l in range(1, spec.depth + 1):
        terms = [states[l - 1][:, None, :] * values.weights[l - 1]]
        up = _partial(terms[0], random)
        _fits(up, tight[l - 1].up)
        shifts, head = spec.shifts(l), spec.headroom(l)
        ends = [values.biases[l - 1] << shifts[0], up[..., -1] << shifts[1]]
        if l < spec.depth:
            down = _partial(states[l + 1][:, None, :] * values.weights[l].T, random)
            _fits(down, tight[l - 1].down)
            ends.append(down[..., -1] << shifts[2])
        form = spec.layers[-1].state
        target = random.choice([form.least, form.most], states[l].shape)
        pull = oracle.rounded(random.choice([-1, 1]) * spec.beta * (target - states[l]), spec.beta_fraction)
        ends.append(((pull if l == spec.depth else 0) - states[l]) << head)
        ends.append(np.full_like(states[l], (1 << (head + spec.step_shift)) >> 1))
        shuffled = [np.broadcast_to(ends[i], states[l].shape) for i in random.permutation(len(ends) - 1)]
        _fits(np.cumsum(np.stack([*shuffled, ends[-1]], -1), -1), tight[l - 1].total)
        for name in ("up", "down", "total"):
            assert getattr(tight[l - 1], name) <= getattr(proof.sums(spec, None)[l - 1], name)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6), state_bits=st.integers(8, 18), weight_bits=st.integers(6, 14), k=st.integers(0, 2),
    input_fraction=st.integers(4, 12), low=st.sampled_from([0.0, -1.0, 0.25]),
)  # fmt: skip
def test_a_free_state_is_close_to_equilibrium(
    seed: int, state_bits: int, weight_bits: int, k: int, input_fraction: int, low: float
) -> None:
    model, x = _model(seed, low), _inputs(seed)
    formats = _formats(state_bits, weight_bits, input_fraction)
    spec, values = quantised(
        model, formats, free_steps=STEPS, nudged_steps=1, beta=0.25, beta_fraction=7, step_shift=k, sum_bits=63
    )
    real = _equilibrium(model, x, "cpu")
    found = oracle.settle(spec, values, whole_inputs(spec, x), oracle.at_rest(spec, len(x)), STEPS)
    if not _stands_still(spec, values, x, found):
        assert k == 0  # full steps may swap two states for ever, half ones settle these couplings
        return
    slack = 2.0 ** (k - 1) * formats.state.step
    for layer, drive, s in zip(spec.layers[1:], _drives(spec, values, x, found), found, strict=True):
        ends, held = (layer.low * layer.state.step, layer.high * layer.state.step), s * layer.state.step
        assert (np.clip(drive - slack, *ends) <= held).all() and (held <= np.clip(drive + slack, *ends)).all()
    distance = _distance(spec, found, real)
    assert (distance <= _bound(spec, values, x, real)).all()


def test_the_bound_is_tight_enough_to_tell_a_wrong_machine() -> None:
    """At 20 and 16 bits it is far below the states, and a machine without feedback is beyond it."""
    model, x = _model(3, 0.0), _inputs(3)
    spec, values = quantised(
        model, _formats(20, 16, 14), free_steps=STEPS, nudged_steps=1, beta=0.25, beta_fraction=7, step_shift=1
    )
    real = _equilibrium(model, x, "reference")  # the ODE, by plain Euler steps
    found = oracle.settle(spec, values, whole_inputs(spec, x), oracle.at_rest(spec, len(x)), STEPS)
    bound = _bound(spec, values, x, real)
    assert _stands_still(spec, values, x, found)
    assert (_distance(spec, found, real) <= bound).all() and bound.max() < 0.01
    cut = Values((values.weights[0], values.weights[1], 0 * values.weights[2]), values.biases)
    wrong = oracle.settle(spec, cut, whole_inputs(spec, x), oracle.at_rest(spec, len(x)), STEPS)
    assert (_distance(spec, wrong[:-1], real[:-1]) > bound).any()


def _model(seed: int, low: float) -> Model:
    """Couplings between layers of norm 0.8 together, so that there is one equilibrium."""
    box = BoxSpec(low=low, high=1.0, gain=1.0)
    model = mep_hw.mlp(*SIZES, activation=box, seed=seed, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    for weight, bias in zip(model.weights, model.biases, strict=True):
        assert bias is not None
        weight.copy_(torch.randn(weight.shape, generator=generator, dtype=torch.float64))
        bias.copy_(0.5 + 0.3 * torch.randn(bias.shape, generator=generator, dtype=torch.float64))
    norm = float(np.linalg.norm(_joined([w.numpy() for w in model.weights]), 2))
    model.weights[0] *= 0.3  # leaves most units inside of their bounds
    for weight in model.weights[1:]:
        weight *= 0.8 / norm
    return model


def _inputs(seed: int) -> torch.Tensor:
    return torch.rand(5, SIZES[0], generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)


def _formats(state_bits: int, weight_bits: int, input_fraction: int) -> Formats:
    state = Format(bits=state_bits, fraction=state_bits - 4)
    weights = (
        Format(bits=weight_bits + 3, fraction=weight_bits - 1),
        *[Format(bits=weight_bits, fraction=weight_bits - 1)] * 2,
    )
    return Formats(state, Format(bits=input_fraction + 2, fraction=input_fraction), state_bits, weights, (0.0, 1.0))


def _equilibrium(model: Model, x: torch.Tensor, backend: str) -> list[Reals]:
    card = load_backend(backend)
    if backend == "cpu":
        card = precise(card, 1.0)
    else:
        values = {"compute.dtype": "float64", "settle.tolerance": 1e-9, "settle.free_sweeps": 5000}
        card = changed(card, values)
    with machine.build(model, card, None, 0) as built:
        settled = built.settle(x)
    assert float(settled.residual.max()) < 1e-6
    return [s.numpy() for s in settled.state]


def _stands_still(spec: Spec, values: Values, x: torch.Tensor, found: oracle.States) -> bool:
    after = oracle.settle(spec, values, whole_inputs(spec, x), found, 1)
    return all((a == b).all() for a, b in zip(after, found, strict=True))


def _drives(spec: Spec, values: Values, x: torch.Tensor, found: oracle.States) -> list[Reals]:
    """D(s) of every layer (rows, units), in real numbers from the rounded ones."""
    weights = [w * form.step for w, form in zip(values.weights, spec.weights, strict=True)]
    state = [s * layer.state.step for s, layer in zip([whole_inputs(spec, x), *found], spec.layers, strict=True)]
    drives: list[Reals] = []
    for l in range(1, spec.depth + 1):  # noqa: E741
        drive = values.biases[l - 1] * spec.layers[l].state.step + state[l - 1] @ weights[l - 1].T
        drives.append(drive + (state[l + 1] @ weights[l] if l < spec.depth else 0.0))
    return drives


def _distance(spec: Spec, found: oracle.States, real: list[Reals]) -> Reals:
    """(rows,)."""
    layers = range(1, len(found) + 1)
    parts = [real_states(spec, layer, s) - t for layer, s, t in zip(layers, found, real, strict=True)]
    return np.linalg.norm(np.concatenate(parts, 1), axis=1)


def _bound(spec: Spec, values: Values, x: torch.Tensor, real: list[Reals]) -> Reals:
    """(rows,), see above."""
    held: list[Reals] = [w * np.float64(form.step) for w, form in zip(values.weights, spec.weights, strict=True)]
    seen, errors = [np.abs(x.numpy()), *map(np.abs, real)], list[Reals]()
    for l in range(1, spec.depth + 1):
        state = spec.layers[l].state
        error = np.full_like(real[l - 1], state.step / 2 + 2.0 ** (spec.step_shift - 1) * state.step)
        error += spec.weights[l - 1].step / 2 * seen[l - 1].sum(1, keepdims=True)
        if l == 1:
            error += np.abs(held[0]).sum(1) * spec.layers[0].state.step / 2
        if l < spec.depth:
            error += spec.weights[l].step / 2 * seen[l + 1].sum(1, keepdims=True)
        errors.append(error)
    norm = np.linalg.norm(_joined(held), 2)
    assert norm < 1 and np.abs(real[-1]).max() < spec.layers[-1].high * spec.layers[-1].state.step
    return np.linalg.norm(np.concatenate(errors, 1), axis=1) / (1 - norm)


def _joined(weights: list[Reals]) -> Reals:
    """The symmetric matrix of all couplings between layers."""
    sizes = [len(w) for w in weights]
    ends = np.concatenate([[0], np.cumsum(sizes)])
    whole = np.zeros((ends[-1], ends[-1]))
    for layer, weight in enumerate(weights[1:], start=1):
        rows, columns = slice(ends[layer], ends[layer + 1]), slice(ends[layer - 1], ends[layer])
        whole[rows, columns], whole[columns, rows] = weight, weight.T
    return whole


def _partial(terms: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Sums of the first terms, (..., terms), in one random order."""
    return np.cumsum(terms[..., random.permutation(terms.shape[-1])], -1)


def _fits(sums: np.ndarray, bits: int) -> None:
    assert -(1 << (bits - 1)) <= int(sums.min()) and int(sums.max()) < 1 << (bits - 1)
