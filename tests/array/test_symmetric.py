"""The zero of a fast array: where up and down steps are equal, by each family's formula."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from cell_arrays import device
from fast_slow import F64, IN, OUT, POINT, STEP, soft

from mep_hw.array.symmetric import Symmetric
from mep_hw.cards.array import ArrayOptions
from mep_hw.cards.schema import DeviceCard
from mep_hw.errors import CapabilityError
from mep_hw.schedule import Row

WIDTH, GAP, READ, VOLT, LOW, HIGH = 1e-7, 4e-7, 2e-6, 2.0, 1e-6, 5e-6


def symmetric(cells: DeviceCard, seed: int = 0, **array: Any) -> Symmetric:
    given = {"rows": 16, "cols": 16, "pairing": "device"} | array
    generator = torch.Generator().manual_seed(seed)
    return Symmetric(ArrayOptions.model_validate(given), cells, (OUT, IN), generator, F64)


def test_the_zero_of_soft_bounds_is_where_steps_are_equal() -> None:
    made = symmetric(soft(), scale=0.5)
    made.find_zero(600)
    # Within half a step: a look comes after a down pulse, and so half of one below the middle of the two.
    assert torch.allclose(made.zero, torch.full_like(made.zero, 0.5 * POINT), rtol=0, atol=0.5 * STEP)
    assert float(made.weights.abs().max()) < 1e-6 and torch.allclose(made.weights + made.zero, made.zero)


def test_the_zero_of_linear_steps_is_where_steps_are_equal_in_every_cell() -> None:
    spread = {"w_min": 0.1, "w_max": 0.1, "dw_min": 0.2, "up_down": 0.05}
    quantities = {name: {"value": sd, "unit": "1", "source": "test"} for name, sd in spread.items()}
    cells = device(
        "ecram", noise=None, stuck=None, spread=quantities | {"law": "normal"}, response__up_down=0.2, dw_min=0.01,
        response__gamma_up=0.5, response__gamma_down=0.5,
    )  # fmt: skip
    assert cells.w_max.value is not None and cells.w_min.value is not None
    made = symmetric(cells)
    made.find_zero(1500)
    t = made.cells.traits
    # up (1 - a w) = down (1 + b w), with slopes per weight as `mep_hw.cards.response` has them, from nominal bounds
    a, b = t.extra["gamma_up"] / cells.w_max.value, t.extra["gamma_down"] / -cells.w_min.value
    point = ((t.up - t.down) / (t.up * a + t.down * b)).view(OUT, IN)
    assert torch.allclose(made.zero, point, rtol=0, atol=0.01)
    assert float(point.std()) > 0.02  # a common zero would be wrong


def test_noisy_cells_are_averaged() -> None:
    """Cycle noise alone makes a cell wander by 0.1 about its point; the mean of looks is closer than one look."""
    cells = device(
        "reram-sb", spread=None, noise__write=0.0, noise__cycle=1.0, response__up_down=0.3, w_min=-1.0, w_max=1.0,
        dw_min=STEP,
    )  # fmt: skip
    made = symmetric(cells)
    made.find_zero(2000)
    assert float((made.zero - POINT).square().mean().sqrt()) < 0.5 * float(made.weights.square().mean().sqrt())


def test_pulses_reads_time_and_energy_of_finding_it() -> None:
    """By hand for cells that start at 0: all of them are pulsed up and down, and read up to 64 times."""
    circuit = {
        "gap_s": GAP,
        "read_s": READ,
        "read_v": 0.0001,
        "line_f": 0.0,
        "driver_j": 0.0,
        "dac_j": 0.0,
        "adc_j": 0.0,
        "overhead_j": 0.0,
        "drive_s": 1e-6,
    }
    given = {f"electrical__{name}": value for name, value in (
        ("pulse_width", WIDTH), ("voltage_up", VOLT), ("voltage_down", -VOLT), ("g_min", LOW), ("g_max", HIGH),
        ("endurance", 1e4),
    )}  # fmt: skip
    made = symmetric(soft(**given), circuit=circuit)
    cost = made.find_zero(100)
    assert cost.pulses == 200 * OUT * IN and cost.slots == cost.cycles == 200 and cost.reads == 50 * IN
    assert cost.line_pulses == 200 * (OUT + IN)
    assert cost.time_s == pytest.approx(200 * (WIDTH + GAP) + 50 * IN * READ)
    middle, point = ((LOW + HIGH) / 2 + (HIGH - LOW) / 2 * w for w in (0.0, POINT))
    assert cost.energy_j is not None
    low, high = (200 * OUT * IN * WIDTH * VOLT**2 * siemens for siemens in (middle, point))
    assert low < cost.energy_j < high
    assert made.wear() == 200 / 1e4 and int(made.counted.max()) == 0


def test_no_pairs_leave_cells_and_zero_alone() -> None:
    made = symmetric(soft())
    made.pulse(Row(torch.ones(OUT, IN, dtype=torch.int32)))
    held = made.weights
    assert made.find_zero(0).pulses == 0
    assert torch.equal(made.weights, held) and float(held.min()) > 0


@pytest.mark.parametrize("name", ["gokmen-vlasov", "flash-sonos", "pcm", "ideal"])
def test_cells_without_a_symmetry_point_are_refused(name: str) -> None:
    with pytest.raises(CapabilityError, match=f"device {name}: response.family = .*: array.transfer needs"):
        symmetric(device(name))


@pytest.mark.parametrize(
    ("field", "array"), [("wires", {"wires": {"word_ohm": 1.0}}), ("read_noise", {"read_noise": {"relative": 0.1}})]
)
def test_effects_of_conductances_are_refused(field: str, array: dict[str, Any]) -> None:
    with pytest.raises(CapabilityError, match=f"array: {field}"):
        symmetric(soft(), **array)
