"""What is predicted is what is spent: exactly where lines decide, in the mean where cells do."""

from __future__ import annotations

import pytest
import torch
from cell_arrays import device
from compiler_cards import F64, crossbar, low_rank, steps

import mep_hw
from mep_hw import machine as machines
from mep_hw.cards import BackendCard, DeviceCard
from mep_hw.compiler import compile, predict
from mep_hw.compiler.predict import slots
from mep_hw.schedule import Cost, Hold, Read, Registers, Row, Schedule
from mep_hw.substrates.base import Substrate

OUT, IN = 30, 40
EXACT = ("cycles", "slots", "line_pulses", "pulses", "reads", "time_s")


def machine(backend: BackendCard, cells: DeviceCard, seed: int = 0) -> Substrate:
    """Small enough weights that no cell comes near its bounds."""
    model = mep_hw.mlp(IN, OUT, dtype=F64)
    model.weights[0].mul_(0.2 / float(model.weights[0].abs().max()))
    return machines.build(model, backend, cells, seed)


@pytest.mark.parametrize("form", ["outer", "row"])
@pytest.mark.parametrize("rows", [21, 128], ids=["several arrays", "one array"])
@pytest.mark.parametrize("pairing", ["device", "differential"])
def test_driven_lines_are_predicted_exactly(form: str, rows: int, pairing: str) -> None:
    """On noisy cells: what they answer does not change what is driven."""
    backend, cells = crossbar((form,)), device("reram-sb")
    array = backend.array
    assert array is not None
    backend = backend.model_copy(
        update={"array": array.model_copy(update={"rows": rows, "cols": 17, "pairing": pairing})}
    )
    made = machine(backend, cells)
    schedule = compile(low_rank(OUT, IN, 3, 0.3), None, backend, cells, torch.Generator().manual_seed(0), read=True)
    predicted, spent = predict(schedule, backend, cells, made.read(0)), made.apply(0, schedule)
    for name in EXACT:
        assert getattr(spent, name) == pytest.approx(getattr(predicted, name), rel=1e-12), name
    assert spent.energy_j is not None and predicted.energy_j == pytest.approx(spent.energy_j, rel=0.05)


@pytest.mark.parametrize("form", ["outer", "row"])
def test_energy_is_exact_for_cells_that_hold_what_is_said(form: str) -> None:
    backend, cells = crossbar((form,)), steps()
    made = machine(backend, cells)
    schedule = compile(low_rank(OUT, IN, 3, 0.3), None, backend, cells, torch.Generator().manual_seed(0))
    predicted, spent = predict(schedule, backend, cells, made.read(0)), made.apply(0, schedule)
    assert predicted.energy_j == pytest.approx(spent.energy_j, rel=1e-6)
    assert predicted.energy_j != predict(schedule, backend, cells).energy_j


@pytest.mark.parametrize("name", ["ecram", "reram-sb", "reram-om"])
def test_verified_writes_and_noisy_energy_are_predicted_in_the_mean(name: str) -> None:
    """The mean of 100 machines within 3 standard errors, theirs and that of the prediction's own sample of lines."""
    backend, cells = crossbar(("cell",), tolerance=0.05, iterations=8), device(name)
    update = low_rank(OUT, IN, 4, 1.0)
    spent: list[Cost] = []
    for seed in range(100):
        made = machine(backend, cells, seed)
        made.write(0, torch.zeros(OUT, IN, dtype=F64))
        spent.append(made.apply(0, compile(update, None, backend, cells)))
    predicted = predict(compile(update, None, backend, cells), backend, cells)
    for field in ("cycles", "slots", "pulses", "line_pulses", "reads", "energy_j", "time_s"):
        found = torch.tensor([getattr(cost, field) for cost in spent], dtype=F64)
        expected = getattr(predicted, field)
        assert expected is not None
        # The prediction is one machine of the same size, so its own error is that of one of them.
        assert abs(float(found.mean()) - expected) < 3 * float(found.std()) * (1 + 1 / 100) ** 0.5 + 1e-3 * expected, (
            field
        )


@pytest.mark.parametrize("form", ["outer", "row"])
def test_pulses_and_energy_of_open_loop_schedules_in_the_mean(form: str) -> None:
    backend, cells = crossbar((form,), rounding="stochastic"), device("ecram")
    update, found, told = low_rank(OUT, IN, 3, 0.3), [], []
    for seed in range(100):
        made = machine(backend, cells, seed)
        schedule = compile(update, None, backend, cells, torch.Generator().manual_seed(seed))
        told.append(predict(schedule, backend, cells, made.model.weights[0]))
        found.append(made.apply(0, schedule))
    for field in ("pulses", "energy_j"):
        spent, predicted = (torch.tensor([getattr(c, field) for c in costs], dtype=F64) for costs in (found, told))
        gap = spent - predicted
        assert abs(float(gap.mean())) <= 3 * float(gap.std()) / 10 + 2e-3 * float(spent.mean())  # of programming


def test_a_read_a_pause_and_registers() -> None:
    backend, cells = crossbar(("row",)), steps()
    made = machine(backend, cells)
    nothing = torch.zeros(OUT, IN, dtype=F64)
    for cycle in (Hold(0.5), Read(None, 3), Read(torch.linalg.qr(torch.randn(OUT, 2, dtype=F64))[0], 2)):
        schedule = Schedule((Row(nothing.int()), cycle), nothing)
        predicted, spent = predict(schedule, backend, cells, made.read(0)), None
        if not isinstance(cycle, Hold):  # these cells do not know what time does
            spent = made.apply(0, schedule)
            assert spent.reads == predicted.reads and spent.time_s == pytest.approx(predicted.time_s)
            assert spent.energy_j == pytest.approx(predicted.energy_j, rel=1e-6)
        else:
            assert predicted.time_s == 0.5
    written = predict(Schedule((Registers(nothing),), nothing), mep_hw.cards.load_backend("cpu"), None)
    assert written == Cost(cycles=1, slots=0, pulses=0, line_pulses=0, reads=0)


def test_what_neither_card_knows_is_not_predicted() -> None:
    backend = crossbar(("row",))
    assert backend.array is not None
    bare = backend.model_copy(update={"array": backend.array.model_copy(update={"circuit": None, "assumed": None})})
    cells = device("ecram")
    schedule = compile(low_rank(OUT, IN, 1, 0.3), None, bare, cells)
    cost = predict(schedule, bare, cells)
    assert cost.time_s is None and cost.energy_j is None and cost.wear_max is None
    assert cost.slots is not None and cost.slots > 0 and cost.pulses is not None and cost.pulses > 0


def test_pairs_of_one_sign_take_their_slots_at_once() -> None:
    backend, cells = crossbar(("row",), refresh_every=9), device("pcm")
    schedule = compile(low_rank(OUT, IN, 3, 0.3), None, backend, cells)
    (cycle,) = schedule.cycles
    assert isinstance(cycle, Row) and backend.array is not None
    cost = machine(backend, cells).apply(0, schedule)
    assert cost.slots == slots(cycle, backend.array, cells) == predict(schedule, backend, cells).slots
    assert cost.energy_j is not None and cost.energy_j > 0  # and not NaN, however far a step goes
