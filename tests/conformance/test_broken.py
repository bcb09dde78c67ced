"""A machine with one fault fails the checks that are about it, and only these."""

from __future__ import annotations

import pytest
from helpers import card

from mep_hw.cards import load_device
from mep_hw.cards.schema import DeviceCard
from mep_hw.conformance import CHECKS, run
from mep_hw.conformance.subject import Subject

# "learns" takes longer than all other checks together, and is run where the fault should stop learning.
QUICK = [name for name in CHECKS if name != "learns"]
FAULTS: dict[str, set[str]] = {
    "Deaf": {"fixed_point", "nudge_direction", "gradient", "learns"},
    "Contrary": {"fixed_point", "nudge_direction", "gradient", "learns"},
    "Stale": {"fixed_point", "round_trip", "learns"},
    "Halving": {"apply", "residual"},
    "Leaky": {"batch_invariance"},
    "Restless": {"seed", "round_trip"},
    "Cheap": {"cost"},
    "Boastful": {"cost"},
    "Careless": {"refuse"},
    "Hasty": {"refuse"},
    "Unbiased": {"biases"},
    "Forgetful": {"round_trip"},
    "Climbing": {"fixed_point", "energy_falls"},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_exactly_the_right_checks_fail(fault: str) -> None:
    broken = card("cpu", substrate=f"conformance.chips:{fault}")
    report = run(broken, None if "learns" in FAULTS[fault] else QUICK)
    assert set(report.named("failed")) == FAULTS[fault]
    for outcome in report.outcomes:
        assert (outcome.status == "failed") == bool(list(outcome.complaints))


def test_weights_outside_the_range_of_the_device_are_noticed() -> None:
    data = load_device("ideal").model_dump()
    data["w_min"]["value"], data["w_max"]["value"] = -0.5, 0.5
    bounded = Subject(card("cpu"), DeviceCard.model_validate(data))
    kept = [finding.kept for finding in CHECKS["bounds"].measure(bounded)]
    assert True in kept and False in kept
    assert all(finding.kept for finding in CHECKS["bounds"].measure(Subject(card("cpu"), None)))


def test_costs_that_are_far_from_predicted_means_are_noticed() -> None:
    modest = card("crossbar", substrate="conformance.chips:Modest", write_modes=("cell",))
    (outcome,) = run(modest, ["cost"]).outcomes
    (line,) = outcome.complaints
    assert line.startswith("not so: mlp: pulses executed")


def test_every_check_is_failed_by_some_fault() -> None:
    assert set().union(*FAULTS.values()) | {"bounds"} == set(CHECKS)
