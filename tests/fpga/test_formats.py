"""Formats that are chosen: good enough, no wider than needed, and by a measure that a wrong model does not pass."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import mep_hw
from mep_hw.data import as_data
from mep_hw.errors import CapabilityError, InputError
from mep_hw.fpga import oracle
from mep_hw.fpga.formats import LADDER, Choice, Goal, Phases, choose, tried_out
from mep_hw.fpga.measured import Reference, measure, reference
from mep_hw.fpga.numbers import whole_inputs
from mep_hw.fpga.quantised import quantised
from mep_hw.fpga.widths import formats_of, whole_bits
from mep_hw.model import Model

STATE_BITS, WEIGHT_BITS = (8, 10, 11, 12, 14), (4, 6, 8, 10, 12)
LEARNING = Goal(cosine=0.98, learns=True)


@cache
def trained() -> tuple[Model, Tensor, Tensor, float]:
    """A model of the digits, samples that training left out, and the accuracy with frozen hidden weights."""
    model = mep_hw.mlp(64, 24, 10, seed=0)
    run = mep_hw.train(
        model, backend="cpu", epochs=14, free_sweeps=8, nudged_sweeps=6, validation=0.15, control=True, progress=False
    )
    _, x, y = as_data(None).split(0.15, 0)
    assert run.control_accuracy is not None
    return model, x, y, run.control_accuracy


@cache
def known() -> Reference:
    model, x, y, _ = trained()
    return reference(model, x, y, Phases().beta)


@cache
def chosen(learning: bool) -> Choice:
    model, x, y, _ = trained()
    goal = LEARNING if learning else Goal()
    return choose(model, x, y, goal=goal, state_bits=STATE_BITS, weight_bits=WEIGHT_BITS)


def test_a_chosen_form_answers_like_the_float_model_on_test_samples() -> None:
    model, _, _, frozen = trained()
    choice, data = chosen(False), as_data(None)
    spec, values = quantised(
        model, choice.formats, free_steps=choice.free_steps, nudged_steps=choice.nudged_steps, **asdict(Phases())
    )
    x = whole_inputs(spec, data.test_x)
    answers = oracle.settle(spec, values, x, oracle.at_rest(spec, len(x)), spec.free_steps)[-1].argmax(1)
    accuracy = (answers == data.test_y.numpy()).mean()
    real = (model(data.test_x).argmax(1) == data.test_y).double().mean().item()
    assert real >= 0.93 and real >= frozen + 0.10
    assert accuracy >= real - 0.01  # 0.005 of 360 samples are not two of them


@pytest.mark.parametrize("learning", [False, True])
def test_the_choice_is_good_and_no_narrower_pair_was(learning: bool) -> None:
    choice = chosen(learning)
    assert choice.goal.reached(choice.measured)
    assert choice.accuracy is not None and choice.accuracy >= 0.93
    states, weights = choice.formats.state.bits, choice.formats.weights[0].bits
    good = [(t.state_bits, t.weight_bits) for t in choice.tried if t.passed]
    assert (states, weights) in good and states * weights == min(s * w for s, w in good)
    tried = {(t.state_bits, t.weight_bits): t.passed for t in choice.tried}
    assert all(tried[pair] is False for pair in tried if pair[0] * pair[1] < states * weights)
    assert max(STATE_BITS) > states or max(WEIGHT_BITS) > weights
    assert choice.as_dict()["tried"][-1]["state_bits"] == choice.tried[-1].state_bits


def test_learning_takes_more_bits_and_only_as_many_steps_as_it_needs() -> None:
    choice, (model, x, *_) = chosen(True), trained()
    assert min(choice.measured.cosines) >= 0.98
    bits = [form.state.bits * form.weights[0].bits for form in (choice.formats, chosen(False).formats)]
    assert bits[0] > bits[1]
    settings: dict[str, Any] = dict(free_steps=choice.free_steps, **asdict(Phases()))
    place = LADDER.index(choice.nudged_steps)
    spec, values = quantised(model, choice.formats, nudged_steps=choice.nudged_steps, **settings)
    start = oracle.at_rest(spec, len(x))
    free = oracle.settle(spec, values, whole_inputs(spec, x), start, spec.free_steps)
    later = oracle.settle(spec, values, whole_inputs(spec, x), free, 50)
    assert max(np.abs(a - b).max() for a, b in zip(later, free, strict=True)) <= 1  # they stand still
    assert measure(known(), spec, values, free, oracle.settle) == choice.measured
    if place:
        fewer, _ = quantised(model, choice.formats, nudged_steps=LADDER[place - 1], **settings)
        assert not LEARNING.reached(measure(known(), fewer, values, free, oracle.settle))


def test_a_signal_that_does_not_arrive_is_seen() -> None:
    """After one step a nudge has moved the read-out only: no contrast in the first coupling."""
    choice, (model, x, *_) = chosen(True), trained()
    spec, values = quantised(
        model, choice.formats, free_steps=choice.free_steps, nudged_steps=1, **asdict(Phases())
    )  # fmt: skip
    free = oracle.settle(spec, values, whole_inputs(spec, x), oracle.at_rest(spec, len(x)), spec.free_steps)
    found = measure(known(), spec, values, free, oracle.settle)
    assert found.cosines[0] == 0 and found.cosines[1] > 0.5 and not LEARNING.reached(found)


def test_another_model_does_not_pass_for_this_one() -> None:
    """Neither an untrained one nor one with a random hidden layer, in the formats that the trained one passes with."""
    model, *_ = trained()
    random = mep_hw.mlp(64, 24, 10, seed=1)
    half = mep_hw.mlp(64, 24, 10, seed=1)
    half.weights[1].copy_(model.weights[1])
    for other in (random, half):
        formats = formats_of(other, known(), 14, 12, learning=False)
        *_, found = tried_out(other, known(), formats, Phases(), oracle.settle)
        assert found.changed > 0.2 and not Goal().reached(found)


def test_an_untrained_model_is_held_to_its_own_answers() -> None:
    """Its accuracy says nothing, so it must not be given the narrowest formats for keeping that."""
    _, x, y, _ = trained()
    random = mep_hw.mlp(64, 24, 10, seed=1)
    choice = choose(random, x, y, state_bits=STATE_BITS, weight_bits=WEIGHT_BITS)
    first = choice.tried[0]
    assert first.measured is not None and first.measured.changed > 0.005 >= choice.measured.changed


def test_weights_of_registers_are_kept() -> None:
    model, x, y, _ = trained()
    held = mep_hw.mlp(64, 24, 10)
    held.load_tensors(model.tensors(), "trained")
    for weight in held.weights:
        weight.copy_((weight * 64).round() / 64)
    bits = whole_bits(held, 16)
    assert bits is not None and whole_bits(held, bits - 1) is None and whole_bits(model, 16) is None
    choice = choose(held, x, y, state_bits=STATE_BITS, weight_bits=(4,))
    assert {t.weight_bits for t in choice.tried} == {bits}
    _, values = quantised(held, choice.formats, free_steps=1, nudged_steps=1, **asdict(Phases()))
    for weight, whole, form in zip(held.weights, values.weights, choice.formats.weights, strict=True):
        assert (whole * form.step == weight.numpy()).all()


def test_formats_have_room_for_the_model_and_the_samples() -> None:
    model, *_ = trained()
    narrow, roomy = (formats_of(model, known(), 12, 10, learning=learning) for learning in (False, True))
    for a, b, weight in zip(narrow.weights, roomy.weights, model.weights, strict=True):
        assert a.fraction == b.fraction + 1  # twice as much
        assert weight.abs().max() <= a.most * a.step + a.step / 2 and weight.abs().max() > a.most * a.step / 2
    assert narrow.input_range == (0.0, 1.0) and narrow.input.bits == 10
    assert 2 * known().largest <= narrow.state.most * narrow.state.step < 4 * max(known().largest, 1.0)
    with pytest.raises(CapabilityError, match=r"states = .* need 3 bits before the point, and there are 2"):
        formats_of(model, known(), 2, 10, learning=False)


def test_what_cannot_be_chosen_is_said() -> None:
    model, x, y, _ = trained()
    with pytest.raises(CapabilityError, match=r"none of 2 changes at most 0.5 % of answers; this is the best"):
        choose(model, x, y, state_bits=(12,), weight_bits=(2, 3))
    with pytest.raises(CapabilityError, match=r"none holds the model .*states"):
        choose(model, x, y, state_bits=(2,), weight_bits=(8,))
    with pytest.raises(InputError, match="samples = 0"):
        choose(model, x[:0], y[:0])
    single = mep_hw.mlp(4, 3, 1)
    with pytest.raises(InputError, match="outputs = 1: must be at least 2"):
        choose(single, torch.rand(5, 4), torch.rand(5, 1))
