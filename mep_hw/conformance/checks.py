"""The table of checks: a name, one line of meaning, and the function that measures. Cards refer to these names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mep_hw.conformance import learning, refusing, settling, writing
from mep_hw.conformance.report import Finding
from mep_hw.conformance.subject import Subject


@dataclass(frozen=True)
class Check:
    """One question that every machine is asked; `measure` yields at least one finding."""

    name: str
    meaning: str
    measure: Callable[[Subject], Iterator[Finding]]


CHECKS: dict[str, Check] = {
    check.name: check
    for check in (
        Check("refuse", "what the card does not list is refused before anything changes", refusing.refuse),
        Check("fixed_point", "settled states minimise the energy and stay when settled again", settling.fixed_point),
        Check("energy_falls", "settling never ends above the energy it started from", settling.energy_falls),
        Check("nudge_direction", "the loss is lower at +beta and higher at -beta", settling.nudge_direction),
        Check("batch_invariance", "a sample settles alike in any batch", settling.batch_invariance),
        Check("gradient", "the contrast is minus the exact gradient", learning.gradient),
        Check("apply", "the realised weight change is the intended one", writing.apply),
        Check("biases", "the realised bias change is the intended one and moves the output", writing.biases),
        Check("bounds", "weights stay within the device's range", writing.bounds),
        Check("cost", "executing costs what was predicted", writing.cost),
        Check("residual", "realised changes and residual add up to the updates", writing.residual),
        Check("round_trip", "weights, models and runs come back from storage as they were", learning.round_trip),
        Check("seed", "the same seed gives the same run", learning.seed),
        Check("learns", "XOR and two moons are learned, and not by the read-out alone", learning.learns),
    )
}
