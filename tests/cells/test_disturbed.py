"""Half-selected cells: they follow the mean of so many pulses, within their bounds, not where nothing moves them."""

from __future__ import annotations

import pytest
import torch
from cell_arrays import at, device

from mep_hw.errors import CapabilityError

F64 = torch.float64


@pytest.mark.parametrize("name", ["gokmen-vlasov", "ecram", "capacitor", "reram-sb", "reram-hfo2", "pcm", "oxide-1v5"])
def test_a_disturbance_moves_cells_as_the_mean_of_so_many_pulses_does(name: str) -> None:
    """Up and down pulses of equal number: followed by short steps of the mean, and exact to the second order."""
    changes: dict[str, object] = {"noise": None} if name != "oxide-1v5" else {}
    made, weight = at(device(name, spread=None, **changes), 0.2, 3), 0.2
    response, cell = made.response, slice(0, 1)
    for _ in range(4000):
        point = torch.tensor([weight], dtype=F64)
        change = [float(response.mean(point, up, cell)) for up in (True, False)]
        weight += (3.25 * change[0] + 2.5 * change[1]) / 4000
        weight = min(max(weight, float(made.bounds[0][0])), float(made.bounds[1][0]))
    moved = abs(weight - 0.2)
    made.disturb(*(torch.tensor([n, 0.0, 0.0], dtype=F64) for n in (3.25, 2.5)))
    assert float(made.stored[0]) == pytest.approx(weight, abs=0.02 * moved + 1e-9) and moved > 1e-5
    assert made.stored[1:].tolist() == [0.2, 0.2] and int((made.up_count + made.down_count).sum()) == 0


def test_the_mean_of_a_jump_table_is_that_of_its_draws() -> None:
    made = at(device("oxide-1v5"), 0.1, 200_000)
    wanted = float(made.response.mean(made.stored[:1].flatten(), True, slice(None)))
    drawn = made.response.one(made.stored.flatten(), True, slice(None), made.generator) - 0.1
    assert abs(float(drawn.mean()) - wanted) < 4 * float(drawn.std()) / len(drawn) ** 0.5 and wanted > 0


def test_bounds_hold_and_stuck_cells_stay() -> None:
    stuck = {
        "share": {"value": 0.4, "unit": "1", "source": "test"},
        "reach": {"value": None, "unit": "1", "source": "test"},
    }
    made = at(device("gokmen-vlasov", stuck=stuck), 0.0, 40)
    before, free = made.stored, ~made.stuck
    assert 5 < int(free.sum()) < 35
    made.disturb(torch.full((40,), 5000.0, dtype=F64), torch.zeros(40, dtype=F64))
    assert torch.equal(made.stored[free], made.bounds[1][free]) and torch.equal(made.stored[~free], before[~free])


def test_cells_without_pulses_cannot_be_disturbed() -> None:
    made = at(device("flash-sonos"), 0.2, 3)
    with pytest.raises(CapabilityError, match="device flash-sonos: response.family = programmed: these cells take no"):
        made.disturb(*[torch.full((3,), 0.25, dtype=F64)] * 2)
