"""Formats and numbers of steps for a model, by what quantising costs on samples.

The bits of states and of weights come from a grid; how many of them stand before the point says `mep_hw.fpga.widths`.
A pair is run on the samples. It is good enough if it changes the answers of no more than `tolerance` of them and, where
the weights are to learn, if its contrast has a cosine of at least `cosine` in every coupling. First come the fewest
bits of states with the widest weights, then the fewest of weights with the widest states. No pair with less of either
is looked at, as more of the one does not make up for too few of the other. Of the rest, the good pair with the smallest
multiplier (the product of both) is taken. Weights that are whole numbers of few bits already, as after training in
registers, are kept, and only the bits of states are looked for.

Each pair gets as many free steps as its states need to stand still on all samples, and twice as many nudged ones; for
learning, the number of nudged steps is then lowered as far as the goal allows. Nothing here is random.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import Tensor

from mep_hw.errors import CapabilityError, InputError
from mep_hw.fpga import oracle
from mep_hw.fpga.measured import Measured, Reference, Settle, measure, reference
from mep_hw.fpga.numbers import whole_inputs
from mep_hw.fpga.quantised import Formats, quantised
from mep_hw.fpga.spec import Spec, Values
from mep_hw.fpga.supported import require_supported
from mep_hw.fpga.widths import formats_of, whole_bits
from mep_hw.model import Model

STATE_BITS = (8, 9, 10, 11, 12, 14, 16, 18)
WEIGHT_BITS = (4, 5, 6, 7, 8, 10, 12, 14, 16)
LADDER = (4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)  # steps that are tried
FEW_BITS = 16  # of weights that are kept as they are


@dataclass(frozen=True)
class Goal:
    """What formats are to keep.

    tolerance: share of samples whose answer may change. cosine: least of every coupling's contrast with that of `cpu`;
    None: nudged phases are of no use, and contrasts do not count. learns: weights change, and formats leave them room.
    """

    tolerance: float = 0.005
    cosine: float | None = None
    learns: bool = False

    def reached(self, found: Measured) -> bool:
        return found.changed <= self.tolerance and (self.cosine is None or min(found.cosines) >= self.cosine)


@dataclass(frozen=True)
class Phases:
    """What of a specification is neither a format nor a number of steps; see `mep_hw.fpga.quantised.quantised`."""

    beta: float = 0.25
    beta_fraction: int = 7
    step_shift: int = 1


@dataclass(frozen=True)
class Tried:
    """One pair of bits: what it costs, or why it cannot be."""

    state_bits: int
    weight_bits: int
    measured: Measured | None
    refused: str | None
    passed: bool


@dataclass(frozen=True)
class Choice:
    """The formats and steps, and what they were chosen by, which the report of an export keeps.

    measured: with these formats and steps. accuracy: of `cpu`; None for real targets. samples: how many there were.
    tried: in order, each with twice as many nudged steps as free ones.
    """

    formats: Formats
    free_steps: int
    nudged_steps: int
    measured: Measured
    accuracy: float | None
    samples: int
    goal: Goal
    tried: tuple[Tried, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types, without the formats, which the specification has."""
        return {name: value for name, value in asdict(self).items() if name != "formats"}


def choose(
    model: Model,
    x: Tensor,
    y: Tensor,
    *,
    goal: Goal = Goal(),  # noqa: B008  # frozen
    phases: Phases = Phases(),  # noqa: B008  # frozen
    input_fraction: int = 8,
    state_bits: Sequence[int] = STATE_BITS,
    weight_bits: Sequence[int] = WEIGHT_BITS,
    settle: Settle = oracle.settle,
    tell: Callable[[str], None] = lambda _: None,
) -> Choice:
    """The narrowest formats that are good enough on these samples, and the steps that they need.

    Args:
        x: (n, features), which the model has not been trained on and which are not for its test.
        y: labels (n,), or targets (n, outputs).
        input_fraction: bits of inputs behind the point.
        state_bits, weight_bits: the grid.
        settle: of the executable that runs the model.
        tell: called with a line about every pair of bits.

    Raises:
        CapabilityError: the specification has no such model, no pair of the grid is good enough, or states do not come
            to rest.
        InputError: no samples, or a single output, of which there is only one answer.
    """
    require_supported(model)
    if not len(x):
        raise InputError("fpga", "samples", 0, rule="must be at least 1", fix="give some that are not for the test")
    if model.outputs < 2:
        rule, fix = "must be at least 2 for an answer to change", "give the formats yourself"
        raise InputError("fpga", "outputs", model.outputs, rule=rule, fix=fix)
    kept = whole_bits(model, FEW_BITS)
    widths = weight_bits if kept is None else (kept + goal.learns,)
    known, tried = reference(model, x, y, phases.beta), dict[tuple[int, int], Tried]()

    def reaches(states: int, weights: int) -> bool:
        """Whether one pair does, which is tried only once."""
        if (states, weights) not in tried:
            one = _tried(model, known, states, weights, input_fraction, goal, phases, settle)
            tried[states, weights] = one
            tell(
                f"{states} bits of states, {weights} of weights: {told(one.measured) if one.measured else one.refused}"
            )
        return tried[states, weights].passed

    widest = max(state_bits), max(widths)
    least_states = next((s for s in sorted(state_bits) if reaches(s, widest[1])), widest[0])
    least_weights = next((w for w in sorted(widths) if reaches(widest[0], w)), widest[1])
    pairs = [(s, w) for s in state_bits for w in widths if s >= least_states and w >= least_weights]
    for states, weights in sorted(pairs, key=lambda pair: (pair[0] * pair[1], pair[1])):
        if reaches(states, weights):
            formats = formats_of(model, known, states, weights, input_fraction=input_fraction, learning=goal.learns)
            spec, values, found = tried_out(model, known, formats, phases, settle)
            if goal.cosine is not None:
                spec, found = _fewest_nudged(known, spec, values, goal, settle)
            steps = spec.free_steps, spec.nudged_steps
            return Choice(formats, *steps, found, known.accuracy, len(x), goal, tuple(tried.values()))
    raise _none_of(list(tried.values()), goal)


def tried_out(
    model: Model, known: Reference, formats: Formats, phases: Phases, settle: Settle
) -> tuple[Spec, Values, Measured]:
    """A model in these formats with the free steps in which it comes to rest and twice as many nudged ones.

    Raises:
        CapabilityError: the model does not fit the formats, or does not come to rest.
    """
    spec, values = quantised(model, formats, free_steps=1, nudged_steps=1, **asdict(phases))
    x = whole_inputs(spec, known.inputs)
    done, state = 0, oracle.at_rest(spec, len(x))
    for steps in LADDER:
        former, state = state, settle(spec, values, x, state, steps - done, None, None)
        # A state that has stopped may still flicker by one unit where rounding decides.
        if done and max(int(np.abs(a - b).max()) for a, b in zip(state, former, strict=True)) <= 1:
            spec = spec.model_copy(update={"free_steps": done, "nudged_steps": 2 * done})
            return spec, values, measure(known, spec, values, former, settle)
        done = steps
    rule, fix = f"still move after {done} steps", "train with weaker couplings, such as spectral_bound=0.9"
    raise CapabilityError("fpga", "states", rule=rule, fix=fix)


def told(found: Measured) -> str:
    """A line for people."""
    accuracy = "" if found.accuracy is None else f"accuracy {100 * found.accuracy:.2f} %, "
    return f"{accuracy}{100 * found.changed:.2f} % of answers changed, contrast cosine {min(found.cosines):.4f}"


def _tried(
    model: Model, known: Reference, states: int, weights: int, input_fraction: int, goal: Goal, phases: Phases,
    settle: Settle,
) -> Tried:  # fmt: skip
    try:
        formats = formats_of(model, known, states, weights, input_fraction=input_fraction, learning=goal.learns)
        *_, found = tried_out(model, known, formats, phases, settle)
    except CapabilityError as error:
        return Tried(states, weights, None, str(error), passed=False)
    return Tried(states, weights, found, None, goal.reached(found))


def _fewest_nudged(known: Reference, spec: Spec, values: Values, goal: Goal, settle: Settle) -> tuple[Spec, Measured]:
    """As few nudged steps as reach the goal, which the given ones do."""
    x = whole_inputs(spec, known.inputs)
    free = settle(spec, values, x, oracle.at_rest(spec, len(x)), spec.free_steps, None, None)
    shorter = (spec.model_copy(update={"nudged_steps": n}) for n in LADDER if n < spec.nudged_steps)
    found = ((one, measure(known, one, values, free, settle)) for one in (*shorter, spec))
    return next((one, measured) for one, measured in found if goal.reached(measured))


def _none_of(tried: Sequence[Tried], goal: Goal) -> CapabilityError:
    """Of all pairs in vain."""
    measured = [t.measured for t in tried if t.measured is not None]
    if not measured:
        return CapabilityError(
            "fpga", "formats", rule=f"none holds the model ({tried[-1].refused})", fix="take more bits"
        )
    best = min(measured, key=lambda m: (m.changed > goal.tolerance, -min(m.cosines)))
    rule = f"none of {len(tried)} changes at most {100 * goal.tolerance:g} % of answers"
    if goal.cosine is not None:
        rule += f" with contrasts of a cosine of {goal.cosine:g}"
    return CapabilityError(
        "fpga", "formats", told(best), rule=f"{rule}; this is the best", fix="allow more bits, or ask for less"
    )  # fmt: skip
