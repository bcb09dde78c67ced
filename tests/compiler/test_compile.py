"""A schedule for registers realises the update and what is owed; its cost is known before it is executed."""

from __future__ import annotations

import pytest
import torch
from helpers import card, machine
from problems import problem

from mep_hw.cards import load_device
from mep_hw.compiler import compile, predict
from mep_hw.errors import ScheduleError
from mep_hw.outersum import OuterSum, Update, dense
from mep_hw.schedule import Cost, Registers

FULL = torch.arange(80.0, dtype=torch.float64).reshape(8, 10) / 80
FACTORS = OuterSum(FULL[:, :2], FULL.T[:, 3:5], scale=-2.0)


@pytest.mark.parametrize("update", [FULL, FACTORS], ids=["dense", "factors"])
@pytest.mark.parametrize("residual", [None, 0.5 * FULL, FACTORS * 0.5], ids=["none", "dense", "factors"])
def test_the_schedule_realises_update_plus_residual(update: Update, residual: Update | None) -> None:
    wanted = dense(update) + (0 if residual is None else dense(residual))
    kept = dense(update).clone()
    substrate = machine(problem("mlp").model, compute__dtype="float64")
    before = substrate.read(1)
    plan = compile(update, residual, substrate.backend, None)
    assert torch.allclose(dense(plan.intended), wanted, rtol=0, atol=1e-14)
    predicted = predict(plan, substrate.backend, None)
    assert substrate.apply(1, plan) == predicted == Cost(cycles=1, slots=0, pulses=0, line_pulses=0, reads=0)
    assert torch.allclose(substrate.read(1) - before, wanted, rtol=0, atol=1e-14)
    assert torch.equal(dense(update), kept)


def test_factors_stay_factors_where_nothing_is_owed() -> None:
    (cycle,) = compile(FACTORS, None, card(), None).cycles
    assert isinstance(cycle, Registers) and cycle.change is FACTORS


def test_convolution_updates_keep_their_shape() -> None:
    update = torch.ones(3, 2, 3, 3)
    assert dense(compile(update, 2 * update, card(), None).intended).equal(3 * update)


def test_plain_registers_are_written_without_a_look() -> None:
    """At an update whose values nobody can ask for: on a GPU a look would wait."""
    compile(torch.empty(3, 4, device="meta"), None, card(), None)


def test_registers_of_whole_steps_are_refused_what_is_not_finite() -> None:
    steps = card("cpu", registers={"bits": 8, "step": 2**-7, "rounding": "nearest"})
    with pytest.raises(ScheduleError, match="update: weights = nan: must be finite"):
        compile(FULL / torch.zeros(8, 10), None, steps, None)


def test_a_machine_without_exact_writes_is_refused() -> None:
    with pytest.raises(ScheduleError, match="backend crossbar: write_modes = outer, row"):
        compile(FULL, None, card("crossbar", write_modes=["outer", "row"]), load_device("flash-sonos"))
