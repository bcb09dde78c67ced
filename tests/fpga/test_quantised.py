"""From a model to a specification and back: exact where it can be, refused with names and bits where it cannot."""

from __future__ import annotations

from typing import Any

import fpga_cases
import numpy as np
import pytest
import torch

import mep_hw
from mep_hw.errors import CapabilityError, DataError, InputError
from mep_hw.fpga import oracle, proof
from mep_hw.fpga.lfsr import seeded
from mep_hw.fpga.numbers import whole_inputs, whole_targets
from mep_hw.fpga.quantised import Formats, dequantised, learning_of, quantised
from mep_hw.fpga.spec import Format
from mep_hw.model import Model
from mep_hw.spec import BoxSpec

STATE, INPUT = Format(bits=16, fraction=13), Format(bits=10, fraction=8)
FORMATS = Formats(STATE, INPUT, 16, (Format(bits=12, fraction=10),) * 2, (0.0, 1.0))
SETTINGS: dict[str, Any] = dict(free_steps=20, nudged_steps=10, beta=0.25, beta_fraction=7)


def model(**more: Any) -> Model:
    return mep_hw.mlp(16, 8, 3, **more)


def test_weights_are_the_nearest_whole_steps_and_come_back() -> None:
    given = model()
    spec, values = quantised(given, FORMATS, **SETTINGS)
    values.check(spec)
    assert spec.sums == proof.sums(spec, values) and spec.lanes == 8 and spec.nodes == ((1, 2),)
    for weight, whole in zip(given.weights, values.weights, strict=True):
        assert np.abs(whole / 1024 - weight.double().numpy()).max() <= 0.5 / 1024
    again, same = quantised(dequantised(spec, values), FORMATS, **SETTINGS)
    assert again == spec
    assert all((a == b).all() for a, b in zip(values.weights + values.biases, same.weights + same.biases, strict=True))


def test_weights_of_registers_are_taken_exactly() -> None:
    given = model()
    for weight in given.weights:
        weight.copy_((weight * 64).round() / 64)
    _, values = quantised(given, FORMATS, **SETTINGS)
    assert all((whole == 16 * (w * 64).numpy()).all() for whole, w in zip(values.weights, given.weights, strict=True))


def test_the_offset_of_a_box_is_part_of_the_bias() -> None:
    shifted, plain = (model(activation=BoxSpec(gain=1.0, offset=o)) for o in (0.25, 0.0))
    assert plain.biases[0] is not None and shifted.biases[0] is not None
    plain.biases[0].copy_(shifted.biases[0] + 0.25)
    (_, one), (_, other) = (quantised(m, FORMATS, **SETTINGS) for m in (shifted, plain))
    assert (one.biases[0] == other.biases[0]).all() and (one.biases[0] != 0).all()


def test_sums_of_learning_hold_for_all_weights() -> None:
    learning = learning_of(FORMATS, (2, 2), (3, 3), seed=1)
    spec, values = quantised(model(), FORMATS, learning=learning, **SETTINGS)
    assert spec.sums == proof.sums(spec, None) != proof.sums(spec, values)


def test_the_rates_of_learning() -> None:
    """A change is the contrast times 2 beta 2^-halvings, to within one step of the weights or biases."""
    learning = learning_of(FORMATS, (1, 2), (3, 4), seed=1)
    spec, values = quantised(model(), FORMATS, learning=learning, **SETTINGS)
    random = np.random.default_rng(0)
    x = random.integers(0, 257, (1, 16))
    plus, minus = (tuple(random.integers(0, 1 << 13, (1, n)) for n in (8, 3)) for _ in range(2))
    after, _ = oracle.learn(spec, values, seeded(spec), x, plus, minus)
    up, low = ([x / 256, *(s * STATE.step for s in part)] for part in (plus, minus))
    for c, (halvings, bias_halvings) in enumerate(((1, 3), (2, 4))):
        expected = (up[c + 1].T @ up[c] - low[c + 1].T @ low[c]) * 2.0**-halvings
        changed = (after.weights[c] - values.weights[c]) * spec.weights[c].step
        inside = np.abs(after.weights[c]) < spec.weights[c].most
        assert inside.mean() > 0.5 and np.abs(changed - expected)[inside].max() < spec.weights[c].step
        expected = (up[c + 1] - low[c + 1])[0] * 2.0**-bias_halvings
        assert np.abs((after.biases[c] - values.biases[c]) * STATE.step - expected).max() < STATE.step


UNSUPPORTED = {
    "a convolution": (lambda: mep_hw.convnet((1, 8, 8), [4], kernel=3), "layer 1 = a convolution"),
    "smooth units": (lambda: model(activation="tanh"), "layer 1, activation = tanh"),
    "a gain": (lambda: model(activation=BoxSpec(gain=2.0)), "layer 1, gain = 2.0"),
    "a skip": (lambda: model(skips=[(0, 2)]), "skip 0 to 2 = a skip"),
    "cross entropy": (lambda: model(cost="cross_entropy"), "cost = cross_entropy"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_the_specification_has_not_is_refused(name: str) -> None:
    make, message = UNSUPPORTED[name]
    with pytest.raises(CapabilityError, match=message) as caught:
        quantised(make(), FORMATS, **SETTINGS)
    assert "is not in the specification" in str(caught.value)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "lanes": (dict(lanes=5), "lanes = 5: must divide the 16 units of layer 0; take one of 1, 2, 4, 8"),
    "lanes of a later layer": (dict(lanes=16), "lanes = 16: must divide the 8 units of layer 1"),
    "beta": (dict(beta=0.3), "beta = 0.3: must be a whole multiple of 0.0078125; take 0.296875"),
    "no beta": (dict(beta=0.0), "take 0.0078125"),
    "steps": (dict(free_steps=0), "free_steps = 0: must be greater than or equal to 1"),
    "nodes": (dict(nodes=((1,), (3,))), "nodes must hold the layers 1 to 2 in order"),
    "sums": (dict(sum_bits=20), "layer 1, sum (up|down|total): must fit in 20 bits, and [0-9]+ are needed"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_settings(name: str) -> None:
    more, message = WRONG[name]
    with pytest.raises(InputError, match=message):
        quantised(model(), FORMATS, **SETTINGS | more)


def test_the_bits_that_are_named_are_enough() -> None:
    """Of weights, biases and bounds that do not fit; with these they do, with one less they do not."""
    given = model()
    assert given.biases[1] is not None
    given.weights[1][0, 0], given.biases[1][2] = -1.5, 0.75
    for bits in (11, 12):
        formats = Formats(STATE, INPUT, 16, (FORMATS.weights[0], Format(bits=bits, fraction=10)), (0.0, 1.0))
        if bits == 12:
            quantised(given, formats, **SETTINGS)
            continue
        with pytest.raises(CapabilityError, match=r"weights of layer 2 = -1.5: .* and 12 bits are needed"):
            quantised(given, formats, **SETTINGS)
    quantised(given, Formats(STATE, INPUT, 14, FORMATS.weights, (0.0, 1.0)), **SETTINGS)
    with pytest.raises(CapabilityError, match=r"biases of layer 2 = 0.75: .* and 14 bits are needed"):
        quantised(given, Formats(STATE, INPUT, 13, FORMATS.weights, (0.0, 1.0)), **SETTINGS)
    narrow = Format(bits=13, fraction=13)
    with pytest.raises(CapabilityError, match=r"states of layer 1 = 0 to 1: .* and 15 bits are needed"):
        quantised(given, Formats(narrow, INPUT, 14, FORMATS.weights), **SETTINGS)
    given.weights[0][0, 0] = torch.nan
    with pytest.raises(CapabilityError, match="weights of layer 1 = NaN or infinite"):
        quantised(given, FORMATS, **SETTINGS)


def test_samples_are_rounded_or_refused() -> None:
    spec, _ = quantised(model(), FORMATS, **SETTINGS)
    x = torch.tensor([[0.0, 1.0, 0.5 + 1 / 512, 0.1] * 4])
    assert whole_inputs(spec, x)[0, :4].tolist() == [0, 256, 129, 26]
    with pytest.raises(DataError, match=r"inputs = 1.1: must be within 0 and 1"):
        whole_inputs(spec, x + 0.1)
    assert whole_targets(spec, torch.eye(3)).max() == 1 << 13
    with pytest.raises(DataError, match="targets = 5"):
        whole_targets(spec, 5 * torch.eye(3))


def test_a_rate_beyond_the_shifts_is_refused() -> None:
    with pytest.raises(CapabilityError, match=r"rate of weights of layer 2 = 40: must be -16 to 16"):
        learning_of(FORMATS, (2, 40), (3, 3), seed=1)


def test_a_case_of_many_formats_comes_back() -> None:
    """Formats that differ by layer are more than `Formats` has; what a specification says of them is still right."""
    case = fpga_cases.make(8, 4, 3, seed=1)
    found = dequantised(case.spec, case.values)
    for weight, whole, form in zip(found.weights, case.values.weights, case.spec.weights, strict=True):
        assert (weight.numpy() * 2.0**form.fraction == whole).all()
    box = found.layers[0].activation
    assert box is not None and (box.low, box.high) == (case.spec.layers[1].low * case.spec.layers[1].state.step, 1.0)
