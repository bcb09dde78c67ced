"""Half-selected cells: exact counts and weights against an array that is pulsed slot by slot and cell by cell."""

from __future__ import annotations

import pytest
import torch
from cell_arrays import device
from helpers import card
from voltages import BITS, F64, IN, OUT, PAIRS, PLACE, WORDS, counted, outer_voltages, row_pulses, row_voltages, trains

import mep_hw
from mep_hw import machine as machines
from mep_hw.array.bank import Bank
from mep_hw.array.driven import Driven, in_outer, in_rows
from mep_hw.array.drivers import in_arrays, outer_slots
from mep_hw.array.layout import Layout
from mep_hw.cards.array import ArrayOptions
from mep_hw.cards.schema import DeviceCard
from mep_hw.cells import Cells
from mep_hw.errors import CapabilityError
from mep_hw.schedule import Cell, Outer, Row
from mep_hw.schedule.trains import coincidences


@pytest.mark.parametrize("lowest", [-1, 0], ids=["both polarities", "one polarity of bit lines"])
def test_counts_of_outer_products_are_those_of_an_array_that_is_driven_line_by_line(lowest: int) -> None:
    cycle = trains(lowest=lowest)
    up, down = coincidences(cycle)
    half_up, half_down = in_outer(cycle, PAIRS, in_arrays(PAIRS, False, up, down), one_sided=False).halves
    assert outer_slots(cycle, one_sided=False) == len(list(outer_voltages(cycle)))
    for array, sign in enumerate((1, -1)):
        wanted = counted(outer_voltages(cycle, sign))
        assert torch.equal((up, down)[array].long(), wanted[1.0]) and torch.equal((down, up)[array].long(), wanted[-1])
        assert torch.equal(half_up[array].long(), wanted[0.5]) and torch.equal(half_down[array].long(), wanted[-0.5])


def test_counts_of_row_writes_stay_within_each_array() -> None:
    pulses = row_pulses()
    up, down = pulses.clamp(min=0)[None], -pulses.clamp(max=0)[None]
    wanted = counted(row_voltages(pulses))
    assert torch.equal(up[0].long(), wanted[1.0]) and torch.equal(down[0].long(), wanted[-1.0])
    for half, volt in zip(in_rows((up, down), PLACE).halves, (0.5, -0.5), strict=True):
        assert torch.equal(half[0].long(), wanted[volt])


def test_rows_along_bit_lines_are_those_of_the_transposed_coupling() -> None:
    pulses = row_pulses()
    both = (pulses.clamp(min=0)[None], -pulses.clamp(max=0)[None])
    found = in_rows(both, PLACE, "bits")
    turned = in_rows((both[0].mT, both[1].mT), Layout(BITS, WORDS, pair=False), "words")
    assert torch.equal(found.words, turned.bits) and torch.equal(found.bits, turned.words)
    assert all(torch.equal(a, b.mT) for a, b in zip(found.halves, turned.halves, strict=True))


def test_pairs_of_one_sign_are_pulsed_up_in_the_array_of_that_sign() -> None:
    """By hand: one word line, one bit line of each polarity; the second array takes the pulse that would go down."""
    cycle = Outer(torch.tensor([[1]], dtype=torch.int8), torch.tensor([[1, -1]], dtype=torch.int8), (1,))
    place = Layout((1,), (2,), pair=True)
    pulses = in_arrays(place, True, *coincidences(cycle))
    assert pulses[0].tolist() == [[[1], [0]], [[0], [1]]] and not bool(pulses[1].any())
    found: Driven = in_outer(cycle, place, pulses, one_sided=True)
    assert found.words.tolist() == [[[[1]], [[1]]], [[[0]], [[0]]]]
    assert found.bits.tolist() == [[[[1, 0]], [[0, 1]]], [[[0, 0]], [[0, 0]]]]
    assert found.halves[0].tolist() == [[[0], [1]], [[1], [0]]] and found.line_pulses == 4
    assert outer_slots(cycle, one_sided=True) == 1 and outer_slots(cycle, one_sided=False) == 2


def bank(cells: DeviceCard, share: float, pairing: str = "reference") -> Bank:
    spare = 1 if pairing == "reference" else 0
    options = ArrayOptions.model_validate(
        {"rows": 5 + spare, "cols": 3 + spare, "pairing": pairing, "writing": {"disturb": share}}
    )
    made = Bank(options, cells, (OUT, IN), torch.Generator().manual_seed(0), F64)
    assert made.drivers.layout == Layout(WORDS, BITS, pair=pairing == "differential")
    made.set(0.2 * torch.randn(OUT, IN, generator=torch.Generator().manual_seed(1), dtype=F64))
    return made


@pytest.mark.parametrize("pairing", ["reference", "differential"])
@pytest.mark.parametrize(("name", "within"), [("gokmen-vlasov", 1e-8), ("ecram", 0.01)])
@pytest.mark.parametrize("mode", ["outer", "row"])
def test_weights_are_those_of_cells_pulsed_one_slot_after_the_other(
    mode: str, name: str, within: float, pairing: str
) -> None:
    """Steps that depend on the weight (ecram) make the order matter, by their slope times the number of pulses."""
    changes = {"response__gamma_up_spread": 0.0, "response__gamma_down_spread": 0.0} if name == "ecram" else {}
    share, cells = 0.1, device(name, spread=None, noise=None, **changes)
    made = bank(cells, share, pairing)
    held = made.cells.weights
    if mode == "outer":
        cycle = trains(30)
        made.pulse(cycle)
        voltages = [list(outer_voltages(cycle, sign)) for sign in (1, -1)]
    else:
        pulses = row_pulses()
        made.pulse(Row(pulses))
        voltages = [list(row_voltages(sign * pulses)) for sign in (1, -1)]
    for array in range(len(held)):
        slow = Cells(cells, (OUT, IN), torch.Generator(), F64)
        slow.set(held[array])
        for volt in voltages[array]:
            change = [slow.response.mean(slow.stored.flatten(), up, slice(None)).view(OUT, IN) for up in (True, False)]
            size = (volt.abs() == 1).double() + share * (volt.abs() == 0.5).double()
            slow.set(slow.stored + size * torch.where(volt > 0, *change))
        moved = float((made.cells.weights[array] - held[array]).abs().max())
        error = float((made.cells.weights[array] - slow.weights).abs().max())
        assert error < within * moved and moved > 0.005


def test_without_disturbance_only_selected_cells_move() -> None:
    made = bank(device("ecram"), 0.0)
    held, pulses = made.weights, row_pulses()
    made.pulse(Row(pulses))
    assert torch.equal(made.weights[pulses == 0], held[pulses == 0])


def test_verified_writes_mend_what_they_disturb() -> None:
    made = bank(device("gokmen-vlasov"), 0.05)
    wanted = 0.2 * torch.randn(OUT, IN, generator=torch.Generator().manual_seed(3), dtype=F64)
    done = made.verify(Cell(wanted - made.weights, 0.01, 40))
    calm = bank(device("gokmen-vlasov"), 0.0)
    least = calm.verify(Cell(wanted - calm.weights, 0.01, 40))
    assert float((made.weights - wanted).abs().max()) <= 0.01
    assert done.pulses is not None and least.pulses is not None and done.pulses > least.pulses


def test_disturbance_of_pairs_that_take_no_pulses_is_refused() -> None:
    with pytest.raises(CapabilityError, match=r"device pcm: response.family = .*array.writing.disturb is about pulses"):
        bank(device("pcm"), 0.1, "differential")


def test_a_disturbed_machine_trains_and_shows_it() -> None:
    """One step of outer products: cells move by their pulses, and by a share of a pulse for every half of a voltage."""
    writing = {"disturb": 0.1}
    backend = card(
        "crossbar", array__writing=writing, write_modes=["outer"], array__scale=1.5, array__scale_by="weight"
    )
    cells = device("gokmen-vlasov", spread=None, noise=None)
    array = machines.build(mep_hw.mlp(6, 5, 3), backend, cells, 0)
    update = 0.2 * torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    before = array.read(0)
    schedule = mep_hw.compiler.compile(update, None, backend, cells, torch.Generator().manual_seed(0))
    (cycle,) = schedule.cycles
    assert isinstance(cycle, Outer)
    array.apply(0, schedule)
    seen = counted(outer_voltages(cycle))
    wanted = 1.5 * 0.0016 * (seen[1.0] - seen[-1.0] + 0.1 * (seen[0.5] - seen[-0.5]))
    assert torch.allclose(array.read(0) - before, wanted, rtol=0, atol=1e-5)
