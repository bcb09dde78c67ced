"""An explanation agrees with what is compiled, and its figures with what is executed and what is counted by hand."""

from __future__ import annotations

import json
import math
from dataclasses import fields

import pytest
import torch
from compiler_cards import ASSUMED, CIRCUIT, arrays, pulsed, update
from helpers import card

import mep_hw
from mep_hw.compiler import Budget, compile, predict
from mep_hw.compiler.predict import expected
from mep_hw.errors import InputError, ScheduleError
from mep_hw.explain import explain
from mep_hw.explain.explanation import Explanation, Form
from mep_hw.explain.firing import firing
from mep_hw.explain.levelling import exchanges
from mep_hw.machine import build
from mep_hw.outersum import OuterSum, dense
from mep_hw.schedule import Cost, Schedule, Transfer

HELD = 0.2 * torch.randn(24, 40, generator=torch.Generator().manual_seed(5))
FORMS = ["row", "outer", "cell"]
STRONG = "outer, strong directions"
FREE = {"array__writing__noise_max": None, "array__writing__step_max": None}


def row(found: Explanation, name: str) -> Form:
    (form,) = [form for form in found.forms if form.form == name]
    return form


@pytest.mark.parametrize("goal", ["time", "energy", "wear", None])
@pytest.mark.parametrize("rank", [1, 30])
def test_the_form_that_is_chosen_is_the_one_that_is_compiled(goal: str | None, rank: int) -> None:
    backend, device = arrays(array__writing__minimise=goal), pulsed()
    found = explain(update(rank=rank), None, backend, device, HELD)
    (cycle,) = compile(update(rank=rank), None, backend, device, torch.Generator().manual_seed(1)).cycles
    assert found.chosen == type(cycle).__name__.lower() and found.why.startswith(found.chosen)
    assert [form.form for form in found.forms if form.form != STRONG] == FORMS
    if goal in ("time", "energy"):
        field = {"time": "time_s", "energy": "energy_j"}[goal]
        chosen, other = (getattr(row(found, name).cost, field) for name in ("row", "outer"))
        if found.chosen == "outer":
            chosen, other = other, chosen
        assert chosen < other and f"{other:.3g}" in found.why and f"{chosen:.3g}" in found.why
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["chosen"] == found.chosen


def test_figures_of_pulses_wear_and_what_is_left_by_hand() -> None:
    backend, device = arrays(array__writing__rank_max=2), pulsed()
    total = update(0.01)
    found = explain(total, None, backend, device, HELD)
    step, form = device.dw_min.value or 0.0, row(found, "row")
    nearest = (total / step).round()
    assert form.left == pytest.approx(float((total - nearest * step).norm() / total.norm()), rel=1e-4)
    assert form.pulses_mean == pytest.approx(float((total.abs() / step).mean()), rel=0.02)  # rests are drawn
    assert form.pulses_max is not None and abs(form.pulses_max - float(nearest.abs().max())) <= 1
    assert form.wear == pytest.approx(form.pulses_max / ASSUMED["endurance"][0])
    values = torch.linalg.svdvals(total)
    weak = float(values[2:].square().sum().sqrt() / values.square().sum().sqrt())
    assert row(found, "outer").left == pytest.approx(weak, rel=1e-4)
    every, cost = row(found, "outer").cost, row(found, STRONG).cost  # compared by all directions, written in two
    assert cost is not None and every is not None and (cost.cycles, every.cycles) == (2, 5)


@pytest.mark.parametrize("mode", ["row", "outer", "cell"])
@pytest.mark.parametrize("name", ["gokmen-vlasov", "ecram"])
def test_the_expected_error_is_that_of_a_machine(mode: str, name: str) -> None:
    """Another seed, and weights that write and verify has put there; the mean of five machines within 12 %."""
    own = {"write_modes": [mode], "array__writing__tolerance": 0.004}
    backend, device, total = arrays(**own), pulsed(name), update(0.02)
    model = mep_hw.mlp(40, 24)
    model.weights[0].copy_(HELD)
    squares: list[float] = []
    for seed in range(5):
        machine = build(model, backend, device, seed + 10)
        before = machine.read(0)
        schedule = compile(total, None, machine.card_of(0), device, machine.generator)
        machine.apply(0, schedule)
        squares.append(float((machine.read(0) - before - dense(schedule.intended)).square().sum()))
    real = math.sqrt(sum(squares) / len(squares)) / float(total.norm())
    assert row(explain(total, None, backend, device, HELD), mode).error == pytest.approx(real, rel=0.12)


def test_forms_that_cannot_be_executed_say_why() -> None:
    found = explain(update(), None, card("crossbar"), pulsed("reram-sb"))
    assert [form.form for form in found.forms] == ["row", "outer", "cell"] and found.chosen == "cell"
    assert "noise_max or step_max" in (row(found, "row").objection or "") and row(found, "row").cost is None
    assert "the only form" in found.why and found.unknown == ()
    bare = explain(update(), None, card("crossbar", array__circuit=None, array__assumed=None), pulsed("reram-sb"))
    assert "circuit.read_s" in bare.unknown and row(bare, "cell").cost is not None
    found = explain(update(), None, card("crossbar"), pulsed("pcm"))
    assert "not pulsed both ways" in (row(found, "outer").objection or "")
    cell = row(found, "cell")
    assert cell.cost is not None and cell.cost.time_s is None and cell.pulses_max is None
    assert cell.error is not None and 0 < cell.error < 5


def test_registers_are_explained_by_what_rounding_leaves() -> None:
    found = explain(update(), None, card("cpu"), None)
    assert (found.chosen, row(found, "exact").error, row(found, "exact").left) == ("exact", 0.0, 0.0)
    format = {"bits": 8, "step": 0.01, "rounding": "nearest"}
    left = row(explain(update(), None, card("cpu", registers=format), None), "exact").left
    total = update()
    assert left == pytest.approx(float((total - (total / 0.01).round() * 0.01).norm() / total.norm()), rel=1e-4)
    drawn = row(explain(total, None, card("cpu", registers=format | {"rounding": "stochastic"}), None), "exact")
    assert drawn.error == 0 and drawn.left is not None and left < drawn.left < 2 * left  # carried on all the same


def test_headroom_of_registers_counts_what_would_saturate() -> None:
    backend = card("cpu", registers={"bits": 4, "step": 0.1})
    held, change = torch.tensor([[0.6, -0.7, 0.0]]), torch.tensor([[0.2, -0.2, 0.2]])
    room = explain(change, None, backend, None, held).headroom
    assert room is not None and (room.low, room.high) == pytest.approx((-0.8, 0.7))
    assert room.cells == 2 and room.share == pytest.approx(2 / 3)
    assert explain(change, None, card("cpu"), None, held).headroom is None


def test_sensitivity_is_that_of_the_formulas() -> None:
    """The time of pulses is slots (width + gap); the energy without wires, half-selection apart, goes with V^2."""
    backend, device = arrays(array__writing__minimise="time"), pulsed()
    swings = explain(update(), None, backend, device, HELD).sensitivity
    found = {(swing.path.split(".")[2], swing.factor): swing for swing in swings}
    assert {name for name, _ in found} == set(ASSUMED)  # this device knows none of them
    assert found["pulse_width", 2.0].time == pytest.approx((2e-7 + 4e-7) / (1e-7 + 4e-7), rel=1e-5)
    assert found["pulse_width", 0.5].time == pytest.approx((0.5e-7 + 4e-7) / (1e-7 + 4e-7), rel=1e-5)
    up, down = (found[name, 2.0].energy for name in ("voltage_up", "voltage_down"))
    driver = 0.02  # of drivers, which do not depend on voltages
    assert up is not None and down is not None and up - 1 + down - 1 == pytest.approx(3, abs=3 * driver)
    assert found["endurance", 2.0].time == found["endurance", 2.0].energy == 1
    assert {swing.chosen for swing in found.values()} == {explain(update(), None, backend, device, HELD).chosen}


def test_headroom_counts_weights_beyond_the_range() -> None:
    backend, device = arrays(), pulsed(w_min=-0.5, w_max=0.5)
    held, total = torch.zeros(24, 40), torch.zeros(24, 40)
    held[0, :3], total[0, :2] = 0.49, 0.02
    total[1, 1] = -0.6
    room = explain(total, None, backend, device, held).headroom
    assert room is not None and (room.low, room.high, room.cells) == (-0.5, 0.5, 3)
    assert room.share == 3 / 960
    assert explain(total, None, backend, device).headroom is None


def test_exchanges_are_named_only_where_they_help() -> None:
    pulses = torch.ones(1, 4, 6)
    assert exchanges(pulses) == ()
    pulses[0, :, 2], pulses[0, :, 5] = 30.0, 0.0
    (one,) = exchanges(pulses)
    assert (one.lines, one.hot, one.cold, one.most) == ("words", 2, 5, (30.0, 15.0))
    assert one.times == pytest.approx(30 * 6 / (30 + 4))
    (other,) = exchanges(pulses.mT)
    assert (other.lines, other.hot, other.cold) == ("bits", 2, 5)
    pulses[0, 3, 5] = 25.0  # the cold line has a cell that is hot already where the other's are
    pulses[0, :, [0, 1, 3, 4]] = 10.0
    assert exchanges(pulses) == ()


def test_a_budget_takes_the_next_form_or_none_and_draws_nothing_then() -> None:
    backend, device, total = arrays(array__writing__minimise="time"), pulsed(), update(0.02)
    free = explain(total, None, backend, device, HELD)
    outer, rows = row(free, "outer"), row(free, "row")
    assert free.chosen == "outer" and outer.pulses_max is not None and rows.pulses_max is not None
    assert rows.cost is not None and rows.cost.time_s is not None and outer.cost is not None
    between = Budget(pulses_max=(outer.pulses_max + rows.pulses_max) / 2)
    assert rows.pulses_max < outer.pulses_max
    limited = explain(total, None, backend, device, HELD, between)
    assert limited.chosen == "row" and "outer would be preferred, but exceeds" in limited.why
    assert row(limited, "outer").over == ("pulses_max",) and row(limited, "row").over == ()
    generator = torch.Generator().manual_seed(3)
    made = compile(total, None, backend, device, generator, budget=between, held=HELD)
    assert type(made.cycles[0]).__name__ == "Row"
    pulses = expected(made, backend, device, HELD).pulses
    assert pulses is not None and pulses.max() <= (between.pulses_max or 0)
    state = generator.get_state()
    with pytest.raises(ScheduleError, match="budget: time_s = 1e-09: cannot be kept: .* outer, takes 0.0") as caught:
        compile(total, None, backend, device, generator, budget=Budget(time_s=1e-9), held=HELD)
    assert "\n" not in str(caught.value) and torch.equal(generator.get_state(), state)
    assert explain(total, None, backend, device, HELD, Budget(time_s=1e-9)).chosen is None


@pytest.mark.parametrize("name", [field.name for field in fields(Budget)])
def test_every_limit_is_held_against_the_schedule(name: str) -> None:
    backend, device, total = arrays(write_modes=["row"]), pulsed(), update(0.02)
    schedule = compile(total, None, backend, device)
    found = expected(schedule, backend, device, HELD)
    cost, pulses = found.cost, found.pulses
    assert pulses is not None
    figure = float(pulses.max()) if name == "pulses_max" else getattr(cost, name)
    compile(total, None, backend, device, budget=Budget(**{name: figure * 1.001}), held=HELD)
    with pytest.raises(ScheduleError, match=name):
        compile(total, None, backend, device, budget=Budget(**{name: figure * 0.999}), held=HELD)


def test_a_limit_on_what_is_not_known_cannot_be_kept() -> None:
    with pytest.raises(ScheduleError, match="time_s = 1: cannot be kept: .* is not known of it"):
        compile(update(), None, card("cpu"), None, budget=Budget(time_s=1.0))
    with pytest.raises(InputError, match="budget: energy_j = 0: must be above 0"):
        Budget(energy_j=0)


def test_what_is_owed_is_explained_with_the_update() -> None:
    backend, device = arrays(), pulsed()
    factors = OuterSum(torch.randn(24, 1), torch.randn(40, 1), 0.01)
    a = explain(factors, update(), backend, device)
    b = explain(update() + factors.dense(), None, backend, device)
    assert row(a, "row").cost == row(b, "row").cost
    nothing = explain(torch.zeros(24, 40), None, backend, device)
    assert row(nothing, "row").error is None and row(nothing, "row").pulses_max == 0
    with pytest.raises(ScheduleError, match="must be finite"):
        explain(torch.full((2, 2), torch.nan), None, backend, device)
    with pytest.raises(ScheduleError, match="array.slices = 2: is more than one"):
        explain(update(), None, arrays(array__slices=2, write_modes=["cell"]), device)


def test_forms_without_a_price_come_last() -> None:
    """Pairs of one sign: rows by wear, as compiled; what their law of programming takes nobody knows."""
    modes = {"write_modes": ["row", "outer", "cell"], "array__writing__refresh_every": 50}
    backend, device = arrays(**modes, array__writing__minimise="wear", **FREE), pulsed("pcm")
    assert explain(update(), None, backend, device, HELD).chosen == "row"


def test_whole_numbers_without_a_source_are_not_halved() -> None:
    circuit = CIRCUIT | {"reads_per_product": 2, "unsourced": ["reads_per_product", "gap_s"]}
    found = explain(update(), None, arrays(array__circuit=circuit), pulsed(), HELD).sensitivity
    assert {swing.path for swing in found if "circuit" in swing.path} == {"array.circuit.gap_s"}


def test_a_fast_array_leaves_nothing_to_explain() -> None:
    backend = arrays(write_modes=["outer"], array__transfer={})
    with pytest.raises(ScheduleError, match="array.transfer = given: leaves nothing to choose"):
        explain(update(), None, backend, pulsed("ecram"))


def test_what_transfers_and_slices_pulse_is_not_known_beforehand() -> None:
    plain, device = arrays(write_modes=["outer"]), pulsed()
    schedule = compile(update(), None, plain, device, torch.Generator().manual_seed(0))
    moved = Schedule((*schedule.cycles, Transfer(3)), schedule.intended)
    assert expected(schedule, plain, device, HELD).pulses is not None
    assert expected(moved, plain, device, HELD).pulses is None and firing(moved) is None
    sliced = arrays(array__slices=2, write_modes=["cell"])
    verified = compile(update(), None, sliced, device)
    assert predict(verified, sliced, device) == Cost() and expected(verified, sliced, device, HELD).pulses is None


def test_a_look_wears_no_cell() -> None:
    backend, device = arrays(write_modes=["row"]), pulsed()
    alone, looked = (predict(compile(update(), None, backend, device, read=r), backend, device) for r in (False, True))
    assert alone.wear_max == looked.wear_max is not None
    assert compile(update(), None, backend, device, read=True, budget=Budget(wear_max=1.0)).cycles
