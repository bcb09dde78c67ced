"""The expected error of a schedule against that of many executions, term by term and all together."""

from __future__ import annotations

import math

import pytest
import torch
from compiler_cards import arrays, pulsed, update
from torch import Tensor

from mep_hw.array.bank import Bank
from mep_hw.cards.schema import BackendCard, DeviceCard
from mep_hw.compiler import compile
from mep_hw.explain.assess import assess
from mep_hw.explain.counts import Counts, counted, drawn, rounded
from mep_hw.explain.realised import missed
from mep_hw.outersum import OuterSum, dense
from mep_hw.schedule import Outer, Row
from mep_hw.schedule.trains import coincidences
from mep_hw.schedule.trains import outer as trains

PLAIN = {"spread": None, "noise": None}
HELD = 0.3 * torch.randn(24, 40, generator=torch.Generator().manual_seed(9))


def executed(backend: BackendCard, device: DeviceCard, total: Tensor, runs: int = 12) -> float:
    """Root of the mean square of realised minus intended change over runs on cells of their own."""
    squares: list[float] = []
    for seed in range(runs):
        options = backend.array
        assert options is not None
        bank = Bank(options, device, (24, 40), torch.Generator().manual_seed(100 + seed), torch.float64)
        bank.set(HELD.double())
        one = torch.ones(bank.cells.shape, dtype=torch.int64)
        if bank.cells.write_noise:  # as written before: what a read shows is off by chance already
            bank.cells.pulse(one, one)
        before = bank.weights.clone()
        schedule = compile(total, None, backend, device, torch.Generator().manual_seed(200 + seed))
        (cycle,) = schedule.cycles
        assert isinstance(cycle, Outer | Row)
        bank.pulse(cycle)
        squares.append(float((bank.weights - before - dense(schedule.intended)).square().sum()))
    return math.sqrt(sum(squares) / runs)


def expected(backend: BackendCard, device: DeviceCard, total: Tensor) -> float:
    """The same, as an explanation has it."""
    assert backend.array is not None
    (mode,) = backend.write_modes
    share = assess(mode, total, backend, backend.array, device, HELD, None).form.error
    assert share is not None
    return share * float(total.norm())


ROW, OUTER = {"write_modes": ["row"]}, {"write_modes": ["outer"]}
DRAWN = ROW | {"array__writing__rounding": "stochastic"}
COUNTED = OUTER | {"array__writing__trains": "deterministic"}
FREE = {"array__writing__noise_max": None, "array__writing__step_max": None}  # nothing is refused, all is measured
PAIR = FREE | {"array__pairing": "differential"}
NOISE = {"spread": None, "noise__write": 0.0, "noise__cycle": 2.0}
WRITE = {"spread": None, "noise__cycle": 0.0}
CASES = {
    "trains alone": (OUTER | FREE, "gokmen-vlasov", PLAIN, 0.02),
    "rounding alone": (DRAWN | FREE, "gokmen-vlasov", PLAIN, 0.002),
    "cycle noise alone": (ROW | FREE, "reram-sb", NOISE, 0.01),
    "spread alone": (ROW | FREE, "gokmen-vlasov", {"noise": None}, 0.02),
    "write noise alone": (ROW | FREE, "reram-sb", WRITE, 0.004),
    "write noise under trains": (OUTER | FREE, "reram-sb", WRITE, 0.004),
    "all, trains": (OUTER | FREE, "gokmen-vlasov", {}, 0.02),
    "all, counted": (COUNTED | FREE, "gokmen-vlasov", {}, 0.02),
    "all, rows": (DRAWN | FREE, "ecram", {}, 0.02),
    "pair of two signs": (OUTER | PAIR, "gokmen-vlasov", {}, 0.02),
    "pair of one sign": (OUTER | PAIR | {"array__writing__refresh_every": 9}, "pcm-like", {}, 0.02),
    "soft bounds": (ROW | FREE, "reram-sb", {"noise__write": 0.0}, 0.02),
    "measured jumps": (ROW | FREE, "oxide-1v5", {}, 0.03),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_expected_error_is_that_of_many_executions(case: str) -> None:
    """Within 6 %: first order in the change, and the runs' own scatter of about 2 %."""
    changes, name, cells, size = CASES[case]
    if name == "pcm-like":
        device = pulsed("gokmen-vlasov", w_min=0.0)
    else:
        device = pulsed(name, **cells)
    backend = arrays(**changes)
    found, real = expected(backend, device, update(size)), executed(backend, device, update(size))
    assert real > 1e-3 and found == pytest.approx(real, rel=0.06)


def test_counts_of_trains_are_those_of_many_draws() -> None:
    factors, step, draws = OuterSum(torch.randn(4, 3), torch.randn(5, 3), -0.7), 0.3, 4000
    generator = torch.Generator().manual_seed(0)
    found = drawn(factors, step)
    pulses = torch.stack([torch.stack(coincidences(trains(factors, step, generator))) for _ in range(draws)]).double()
    error = (found.variance / draws).sqrt().clamp(min=1e-3)
    assert ((pulses.mean(0) - found.mean) / error).abs().max() < 5
    assert torch.allclose(pulses.var(0), found.variance, rtol=0.15, atol=0.01)
    assert torch.allclose((pulses > 0).double().mean(0), found.any, atol=0.04)


def test_counts_of_rounding_by_hand() -> None:
    found = rounded(torch.tensor([[1.25, -0.5, 0.0]]))
    assert found.mean.tolist() == [[[1.25, 0.0, 0.0]], [[0.0, 0.5, 0.0]]]
    assert found.variance.tolist() == [[[0.1875, 0.0, 0.0]], [[0.0, 0.25, 0.0]]]
    assert found.any.tolist() == [[[1.0, 0.0, 0.0]], [[0.0, 0.5, 0.0]]]


def test_ideal_steps_miss_nothing_and_cells_at_their_bound_miss_all() -> None:
    options, device = arrays(**FREE).array, pulsed(**PLAIN)
    assert options is not None and device.w_max.value is not None and device.dw_min.value is not None
    counts: Counts = counted(Row(torch.tensor([[3, -2]], dtype=torch.int32)))
    intended = torch.tensor([[3.0, -2.0]]).double() * device.dw_min.value
    assert missed(counts, intended, options, device, torch.zeros(1, 2)) == pytest.approx(0, abs=1e-9)
    full = torch.full((1, 2), device.w_max.value)
    assert missed(counts, intended, options, device, full) == pytest.approx(3 * device.dw_min.value, rel=1e-6)
