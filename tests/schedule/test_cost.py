"""Costs add up, and what is unknown stays unknown."""

from __future__ import annotations

import pytest

from mep_hw.schedule import Cost


def test_costs_add_and_what_is_unknown_stays_unknown() -> None:
    a = Cost(time_s=1.0, energy_j=2.0, cycles=3, slots=4, pulses=5, wear_max=0.1)
    b = Cost(time_s=0.5, energy_j=None, cycles=1, slots=None, pulses=0, wear_max=0.2)
    total = a + b
    assert (total.time_s, total.energy_j, total.cycles, total.slots, total.pulses) == (1.5, None, 4, None, 5)
    assert total.wear_max == pytest.approx(0.3)
    assert a + Cost.none() == a == Cost.none() + a
    assert a + Cost() == Cost()


def test_a_cost_as_a_dictionary_uses_the_names_of_the_command_line() -> None:
    keys = ("time_s", "energy_j", "cycles", "slots", "pulses", "line_pulses", "reads", "wear_max")
    assert Cost(cycles=2).as_dict() == dict.fromkeys(keys) | {"cycles": 2}
