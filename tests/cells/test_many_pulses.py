"""Many pulses at once against one by one: mean and variance within 2 %, bounds kept, counters exact.

Both draw the same cells and then different noise, so 3 standard errors of the difference are allowed on top.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from cell_arrays import at, cells, counts, device, mean_and_error, variance_and_error

from mep_hw.cards import DeviceCard, load_device
from mep_hw.cells import Cells
from mep_hw.cells.many import _without_room  # pyright: ignore[reportPrivateUsage]

COUNT = 20000
PULSED = ["gokmen-vlasov", "capacitor", "ecram", "ecram-mo", "reram-sb", "reram-es", "reram-om", "pcm", "fefet"]


def power_step() -> DeviceCard:
    """No bundled device is of this family; gamma 1 to 2 spans soft bounds and stronger curves."""

    def known(value: float) -> dict[str, object]:
        return {"value": value, "unit": "1", "source": "test"}

    names = ("up_down", "gamma", "gamma_spread", "gamma_up_down", "gamma_up_down_spread")
    response = dict(zip(names, map(known, (0.1, 1.5, 0.1, 0.2, 0.05)), strict=True))
    return device("reram-sb", response={"family": "power-step", **response}, noise__cycle=0.5)


def piecewise() -> DeviceCard:
    """Slopes of both signs, a flat piece, and different numbers of nodes; fine and coarse enough to meet nodes."""
    source = {"unit": "dw_min", "source": "test"}
    response = {
        "family": "piecewise",
        "up_down": {"value": 0.1, "unit": "1", "source": "test"},
        "nodes_up": {"values": [1.5, 0.8, 0.8, 1.2, 0.2], **source},
        "nodes_down": {"values": [0.3, 1.0, 1.6], **source},
    }
    return device("reram-sb", response=response, noise__cycle=0.5)


CARDS = [*map(load_device, PULSED), power_step(), piecewise()]


def both(card: DeviceCard, start: float, up: int, down: int) -> tuple[torch.Tensor, torch.Tensor]:
    changes = []
    for number, way in enumerate((Cells.pulse, Cells.pulse_one_by_one)):
        made = at(card, start, COUNT)
        before = made.stored
        made.generator.manual_seed(1000 + number)
        way(made, counts((COUNT,), up), counts((COUNT,), down))
        low, high = made.bounds
        assert bool((made.stored >= low).all()) and bool((made.stored <= high).all())
        assert bool((made.up_count == up).all()) and bool((made.down_count == down).all())
        changes.append(made.stored - before)
    return changes[0], changes[1]


@pytest.mark.parametrize(("up", "down"), [(31, 0), (0, 31), (20, 11), (2, 1)])
@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("card", CARDS, ids=lambda card: f"{card.name}-{card.family}")
def test_mean_and_variance_agree_with_one_by_one(card: DeviceCard, place: float, up: int, down: int) -> None:
    assert card.w_min.value is not None and card.w_max.value is not None and card.dw_min.value is not None
    start = card.w_min.value + place * (card.w_max.value - card.w_min.value)
    fast, slow = both(card, start, up, down)
    (a, a_error), (b, b_error) = mean_and_error(fast), mean_and_error(slow)
    assert abs(a - b) <= 0.02 * abs(b) + 3 * math.hypot(a_error, b_error)
    (a, a_error), (b, b_error) = variance_and_error(fast), variance_and_error(slow)
    assert abs(a - b) <= 0.02 * b + 3 * math.hypot(a_error, b_error) + 1e-20


@pytest.mark.parametrize(("up", "down"), [(60, 0), (0, 200), (60, 200)])
@pytest.mark.parametrize("start", [-0.98, 0.9, 0.98])
@pytest.mark.parametrize("name", ["gokmen-vlasov", "ecram", "reram-sb"])
def test_leaps_near_a_bound_agree_with_one_by_one(name: str, start: float, up: int, down: int) -> None:
    # Alike cells with wide noise: a leap over a bound would be clipped once, where a cell is held there time and again.
    card = device(name, spread=None, noise__cycle=4.0, w_min=-1.0, w_max=1.0)
    fast, slow = both(card, start, up, down)
    (a, a_error), (b, b_error) = mean_and_error(fast), mean_and_error(slow)
    assert abs(a - b) <= 0.02 * abs(b) + 3 * math.hypot(a_error, b_error)
    (a, a_error), (b, b_error) = variance_and_error(fast), variance_and_error(slow)
    assert abs(a - b) <= 0.02 * b + 3 * math.hypot(a_error, b_error)


def test_cells_of_all_blocks_get_their_own_pulses() -> None:
    # More cells than are taken at once, without noise: near bounds, in the middle, stuck, and each with its own count.
    card = device("reram-sb", noise=None, stuck__share=0.01)
    fast, slow = (cells(card, 100_000) for _ in range(2))
    start = torch.linspace(-0.7, 1.2, 100_000, dtype=torch.float64)
    numbers = torch.arange(100_000)
    for made, way in ((fast, Cells.pulse), (slow, Cells.pulse_one_by_one)):
        made.set(start)
        way(made, numbers % 41, numbers % 29)
    assert torch.allclose(fast.stored, slow.stored, rtol=0, atol=1e-9)
    assert torch.equal(fast.up_count, numbers % 41)


@pytest.mark.parametrize("name", ["gokmen-vlasov", "ecram", "capacitor", "reram-sb", "reram-es"])
def test_the_middle_of_the_range_is_not_pulsed_one_by_one(name: str) -> None:
    made = at(load_device(name), 0.0, 2000)
    moments = made.response.many(made.stored, *(torch.full((2000,), 8.0, dtype=torch.float64),) * 2)
    assert moments is not None
    low, high = made.bounds
    reach = 4 * moments.variance.sqrt()
    closed = moments.highest.isfinite() & (moments.lowest - reach > low) & (moments.highest + reach < high)
    assert float(closed.double().mean()) > 0.9


@pytest.mark.parametrize("card", CARDS, ids=lambda card: f"{card.name}-{card.family}")
def test_a_mixture_of_counts_moves_each_cell_by_its_own(card: DeviceCard) -> None:
    # Without noise and spread each cell must end where its own pulses, one by one, take it.
    assert card.w_min.value is not None and card.w_max.value is not None
    data = card.model_dump() | {"spread": None, "noise": None}
    plain = DeviceCard.model_validate(data)
    up = torch.arange(60).view(3, 20) % 13
    down = torch.arange(60).view(3, 20) % 7
    fast, slow = (Cells(plain, (3, 20), torch.Generator().manual_seed(0), torch.float64) for _ in range(2))
    start = torch.linspace(card.w_min.value, card.w_max.value, 60, dtype=torch.float64).view(3, 20)
    for made, way in ((fast, Cells.pulse), (slow, Cells.pulse_one_by_one)):
        made.set(start)
        way(made, up, down)
    moved = (slow.stored - start).abs()
    assert bool(((fast.stored - slow.stored).abs() <= 0.02 * moved + 1e-9).all())
    untouched = (up + down) == 0
    low, high = fast.bounds
    assert torch.equal(fast.weights[untouched], start.clamp(low, high)[untouched])
    assert float(moved[~untouched].max()) > 0


def test_soft_bounds_contract_geometrically() -> None:
    # Fusi and Abbott, Nat. Neurosci. 10, 485 (2007): w -> high - (high - w) q^n with q = 1 - dw / high.
    card = device("reram-sb", spread=None, noise=None)
    made = at(card, 0.0, 1)
    made.pulse(counts((1,), 400), counts((1,), 0))
    assert float(made.stored) == pytest.approx(1.25 * (1 - (1 - 0.002 / 1.25) ** 400), rel=1e-12)
    made.pulse(counts((1,), 0), counts((1,), 4000))
    assert float(made.stored) == pytest.approx(-0.75, rel=1e-4)


def test_small_steps_keep_their_size_in_float32() -> None:
    # q^n - 1 and q^2n - 1 cancel where a step is a millionth of the range.
    card = device("capacitor", spread=None, dw_min=2e-6, noise__cycle=1.0)
    made = Cells(card, (COUNT,), torch.Generator().manual_seed(0))
    moments = made.response.many(torch.zeros(COUNT), torch.full((COUNT,), 9.0), torch.zeros(COUNT))
    assert moments is not None
    assert float(moments.mean[0]) == pytest.approx(9 * 2e-6, rel=1e-4)
    assert float(moments.variance[0]) == pytest.approx(9 * 4e-12, rel=1e-4)


def test_a_symmetric_device_goes_up_and_down_alike_and_an_asymmetric_one_does_not() -> None:
    ends = {}
    alike = {"response__gamma_up_spread": 0.0, "response__gamma_down_spread": 0.0}
    for name, changes in (("gokmen-vlasov", {}), ("capacitor", alike), ("reram-es", {})):
        made = at(device(name, spread=None, noise=None, **changes), 0.0, 1)
        made.pulse_one_by_one(counts((1,), 100), counts((1,), 0))
        top = float(made.stored)
        made.set(torch.zeros(1, dtype=torch.float64))
        made.pulse_one_by_one(counts((1,), 0), counts((1,), 100))
        ends[name] = top / -float(made.stored)
    assert ends["gokmen-vlasov"] == pytest.approx(1, rel=1e-9) and ends["capacitor"] == pytest.approx(1, rel=1e-9)
    assert ends["reram-es"] < 0.9


def test_float32_cells_agree_with_float64_cells() -> None:
    card = device("reram-sb", spread=None, noise=None)
    ends = []
    for dtype in (torch.float32, torch.float64):
        made = cells(card, 1, dtype=dtype)
        made.pulse(counts((1,), 31), counts((1,), 12))
        ends.append(float(made.stored))
    assert ends[0] == pytest.approx(ends[1], rel=1e-5)


@pytest.mark.parametrize("name", ["capacitor", "ecram", "gokmen-vlasov"])
def test_the_closed_forms_are_the_recursion_of_the_moments(name: str) -> None:
    # Steps of a tenth of the range and strong noise: every factor q and every carried variance shows.
    changes = {} if name == "gokmen-vlasov" else {"response__gamma_up": 2.0, "response__gamma_down": 1.5}
    card = device(name, spread=None, noise__cycle=0.8, dw_min=0.1, **changes)
    made = at(card, 0.3, 1)
    up, down = 7, 12
    mean, variance = made.stored, torch.zeros(1, dtype=torch.float64)
    for is_up in [True] * up + [False] * down:
        change, noise = made.response.step(mean, is_up, slice(None))  # pyright: ignore[reportAttributeAccessIssue]
        ahead, _ = made.response.step(mean + 1, is_up, slice(None))  # pyright: ignore[reportAttributeAccessIssue]
        slope = ahead - change
        # Of relative noise sigma m(w), E[m^2] = m(mean)^2 + slope^2 variance; constant noise has no such part.
        spread = 0.0 if name == "capacitor" else (0.8 * slope) ** 2 * variance
        variance = (1 + slope) ** 2 * variance + noise**2 + spread
        mean = mean + change
    moments = made.response.many(made.stored, *(torch.full((1,), float(n), dtype=torch.float64) for n in (up, down)))
    assert moments is not None and bool(moments.highest.isfinite().all())
    assert float(moments.mean) == pytest.approx(float(mean), rel=1e-9)
    assert float(moments.variance) == pytest.approx(float(variance), rel=1e-9)


def test_a_curved_response_carries_the_noise_of_earlier_pulses_along() -> None:
    # Up pulses leave a variance that the steep down response contracts by a quarter.
    card = device("reram-es", spread=None, noise__cycle=0.5, noise__write=0.0, dw_min=0.006)
    count = 80000
    fast, slow = (at(card, 0.3, count, seed) for seed in (0, 1))
    up, down = counts((count,), 16), counts((count,), 6)
    moments = fast.response.many(fast.stored, up.double(), down.double())
    assert moments is not None and bool(moments.highest.isfinite().all())
    slow.pulse_one_by_one(up, down)
    (mean, mean_error), (variance, variance_error) = mean_and_error(slow.stored), variance_and_error(slow.stored)
    start = float(fast.stored[0])
    assert abs(float(moments.mean[0]) - mean) < 0.02 * abs(mean - start) + 3 * mean_error
    assert abs(float(moments.variance[0]) - variance) < 0.02 * variance + 3 * variance_error


def test_a_piecewise_step_is_the_interpolated_node() -> None:
    # Against numpy's interpolation, in each cell's own range, at nodes, between them and at the bounds.
    card = DeviceCard.model_validate(piecewise().model_dump() | {"noise": None})
    made = cells(card, 400)
    low, high = made.bounds
    place = torch.linspace(0, 1, 400, dtype=torch.float64)
    start = low + place * (high - low)
    for up, nodes in ((True, [1.5, 0.8, 0.8, 1.2, 0.2]), (False, [0.3, 1.0, 1.6])):
        made.set(start)
        made.pulse_one_by_one(counts((400,), int(up)), counts((400,), int(not up)))
        size = np.interp(place.numpy(), np.linspace(0, 1, len(nodes)), nodes)
        step = (made.traits.up if up else -made.traits.down) * torch.from_numpy(size)
        assert torch.allclose(made.stored, (start + step).clamp(low, high), rtol=1e-12, atol=1e-15)


def test_cells_that_may_cross_a_node_are_pulsed_one_by_one() -> None:
    # A node in the middle of a range of -1 to 1, where the step falls to a tenth; 30 pulses of 0.01 from -0.15.
    nodes = {"values": [1.0, 1.0, 0.1], "unit": "dw_min", "source": "test"}
    response = {"family": "piecewise", "up_down": {"value": 0.0, "unit": "1", "source": "test"}}
    card = device("reram-sb", spread=None, response=response | {"nodes_up": nodes, "nodes_down": nodes}, w_min=-1.0,
                  w_max=1.0, dw_min=0.01, noise__cycle=0.1)  # fmt: skip
    made = cells(card, 3)
    made.set(torch.tensor([-0.15, -0.5, 0.1], dtype=torch.float64))
    moments = made.response.many(made.stored, *(torch.full((3,), n, dtype=torch.float64) for n in (30.0, 0.0)))
    assert moments is not None and moments.highest[:2].isfinite().tolist() == [False, True]


@pytest.mark.parametrize("cells", [1, 63, 64, 200, 1024])
def test_every_cell_without_room_is_found(cells: int) -> None:
    room = torch.rand(cells, generator=torch.Generator().manual_seed(cells)) - 0.1
    room[-1] = 0.0
    found = _without_room(room)
    assert torch.equal(found, (room <= 0).nonzero().flatten())


def test_predictions_beyond_all_bounds_are_not_believed() -> None:
    """Exponential steps in float32: the mean of many pulses overflows, and cells are pulsed one by one."""
    made = Cells(load_device("pcm"), (2000,), torch.Generator().manual_seed(0))
    made.pulse(counts((2000,), 100), counts((2000,), 0))
    assert bool(made.weights.isfinite().all())
