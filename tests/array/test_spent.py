"""Time and energy of arrays against voltages written down slot by slot and cell by cell."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from cell_arrays import device
from torch import Tensor
from voltages import BITS, F64, IN, OUT, PAIRS, PLACE, WORDS, outer_voltages, row_pulses, row_voltages, trains

from mep_hw.array.drivers import Drivers
from mep_hw.array.electrics import Electrics, electrics
from mep_hw.array.layout import Layout, shares
from mep_hw.array.spent import of_calibration, of_read
from mep_hw.cards.array import ArrayOptions
from mep_hw.cards.schema import DeviceCard
from mep_hw.cells import Cells
from mep_hw.schedule import Read, Row

WIDTH, UP, DOWN, G_MIN, G_MAX = 1e-7, 2.0, 3.0, 1e-6, 5e-6
CIRCUIT = {
    "gap_s": 4e-7, "settle_s": 1e-6, "read_s": 2e-6, "drive_s": 1.5e-6, "read_v": 0.2,
    "line_f": 3e-16, "driver_j": 1e-14, "dac_j": 2e-13,
    "adc_j": 7e-13, "overhead_j": 5e-12,
}  # fmt: skip


def known(name: str = "gokmen-vlasov") -> DeviceCard:
    return device(
        name, spread=None, noise=None, electrical__pulse_width=WIDTH, electrical__voltage_up=UP,
        electrical__voltage_down=-DOWN, electrical__g_min=G_MIN, electrical__g_max=G_MAX,
    )  # fmt: skip


def options(**changes: object) -> ArrayOptions:
    return ArrayOptions.model_validate({"rows": 5, "cols": 3, "pairing": "differential", "circuit": CIRCUIT} | changes)


def drivers(place: Layout, card: DeviceCard | None = None, made: ArrayOptions | None = None) -> Drivers:
    card = known() if card is None else card
    cells = Cells(card, (place.arrays, OUT, IN), torch.Generator().manual_seed(0), F64)
    cells.set(0.5 * torch.randn(place.arrays, OUT, IN, generator=torch.Generator().manual_seed(1), dtype=F64))
    return Drivers(cells, place, electrics(options() if made is None else made, card), one_sided=False)


def energy(voltages: Iterator[Tensor], held: Tensor) -> float:
    """Joules in cells that hold these weights, from the voltage of every cell in every slot, 1 a full pulse."""
    siemens = G_MIN + (G_MAX - G_MIN) * (held + 1) / 2
    volts = sum(torch.where(v > 0, UP * v, DOWN * v).square() * siemens for v in voltages)
    assert isinstance(volts, Tensor)
    return WIDTH * float(volts.sum())


def charged(lines: int, crossings: int, volt: float) -> float:
    """Joules for `lines` pulses of half the voltage on lines with so many crossings, with their drivers."""
    return lines * ((volt / 2) ** 2 * CIRCUIT["line_f"] * crossings + CIRCUIT["driver_j"])


@pytest.mark.parametrize("place", [PLACE, PAIRS], ids=["single", "pair"])
def test_energy_of_outer_products_is_that_of_every_cell_and_line_in_every_slot(place: Layout) -> None:
    """Without capacitance first; then what lines add, counted from the trains by hand."""
    free = options(circuit=CIRCUIT | {"line_f": 0.0, "driver_j": 0.0})
    cycle, made = trains(), drivers(place, made=free)
    held = made.cells.weights
    spent = made.pulse(cycle)
    signs = (1, -1)[: place.arrays]
    assert spent.energy_j == pytest.approx(sum(energy(outer_voltages(cycle, s), held[a]) for a, s in enumerate(signs)))
    lines = drivers(place).pulse(cycle)
    words, bits = int(cycle.words.abs().sum()), int(cycle.bits.abs().sum())
    # A pulse of a line fires in two phases, once up and once down, in all of its arrays.
    every = sum(charged(place.arrays * (words * n + bits * m), 0, 0.0) for n, m in [(2 * len(BITS), 2 * len(WORDS))])
    volts = UP**2 + DOWN**2
    every += place.arrays * CIRCUIT["line_f"] * volts / 4 * (words * OUT + bits * IN)
    assert lines.energy_j is not None and spent.energy_j is not None
    assert lines.energy_j - spent.energy_j == pytest.approx(every, rel=1e-5)
    assert lines.line_pulses == place.arrays * (words * 2 * len(BITS) + bits * 2 * len(WORDS))


def test_energy_and_time_of_row_writes_are_those_of_every_cell_line_and_slot() -> None:
    pulses = row_pulses()
    made = drivers(PLACE, made=options(circuit=CIRCUIT | {"line_f": 0.0, "driver_j": 0.0}))
    held, voltages = made.cells.weights[0], list(row_voltages(pulses))
    spent = made.pulse(Row(pulses))
    assert spent.energy_j == pytest.approx(energy(iter(voltages), held))
    # Slots of the busiest array, written down line by line.
    by_hand: list[int] = []
    for i in range(len(WORDS)):
        for j in range(len(BITS)):
            rows = slice(sum(WORDS[:i]), sum(WORDS[: i + 1]))
            part = pulses[slice(sum(BITS[:j]), sum(BITS[: j + 1])), rows]
            by_hand.append(sum(max(0, int(line.max())) + max(0, -int(line.min())) for line in part.T))
    cost = spent.cost()
    assert cost.slots == max(by_hand) and cost.time_s == pytest.approx(max(by_hand) * (WIDTH + CIRCUIT["gap_s"]))
    assert cost.pulses == int(pulses.abs().sum()) and cost.reads == 0
    assert cost.cycles is not None and cost.cycles <= 2 * max(WORDS)


def test_a_row_of_one_pulse_costs_what_its_lines_and_cells_take() -> None:
    """By hand: one cell of a 5 x 3 array at +1 weight, four halves on its word line's and bit line's other cells."""
    one = torch.zeros(3, 5, dtype=torch.int32)
    one[1, 2] = 1
    place = Layout((5,), (3,), pair=False)
    cells = Cells(known(), (1, 3, 5), torch.Generator(), F64)
    cells.set(torch.ones(1, 3, 5, dtype=F64))
    spent = Drivers(cells, place, electrics(options(), known()), one_sided=False).pulse(Row(one))
    cell = WIDTH * UP**2 * G_MAX
    lines = charged(1, 3, UP) + charged(1, 5, UP)
    assert spent.energy_j == pytest.approx(cell + (2 + 4) * cell / 4 + lines)
    assert spent.line_pulses == 2 and spent.cost().cycles == spent.cost().slots == 1


def test_reads_are_conversions_lines_and_currents() -> None:
    """By hand, for cells that all have the largest conductance."""
    cells = torch.ones(1, OUT, IN, dtype=F64)
    found = electrics(options(), known())
    siemens, v, t, more = G_MAX, CIRCUIT["read_v"], CIRCUIT["drive_s"], CIRCUIT["overhead_j"]
    spent = of_read(Read(None, 3), PLACE, found, cells)
    one = v**2 * (t * siemens * OUT + CIRCUIT["line_f"] * OUT) + len(BITS) * (CIRCUIT["dac_j"] + more)
    one += OUT * CIRCUIT["adc_j"]
    assert spent.energy_j == pytest.approx(3 * IN * one)
    assert spent.cost().reads == 3 * max(WORDS)
    assert spent.cost().time_s == pytest.approx(3 * max(WORDS) * CIRCUIT["read_s"])
    basis = torch.eye(OUT, 2, dtype=F64)
    some = of_read(Read(basis, 2), PLACE, found, cells)
    product = v**2 * IN * (t * siemens + CIRCUIT["line_f"])
    product += len(WORDS) * OUT * CIRCUIT["dac_j"] + len(BITS) * (IN * CIRCUIT["adc_j"] + len(WORDS) * more)
    assert some.energy_j == pytest.approx(2 * 2 * product) and some.cost().reads == 4


def test_calibration_is_conversions_of_all_lines_in_every_phase_and_direction() -> None:
    """By hand: arrays of 5, 4 word lines x 3, 2 bit lines; each line is converted on both sides of both directions."""
    found = electrics(options(), known())
    spent = of_calibration(2, PLACE, found)
    lines = sum(w + b for w in WORDS for b in BITS)
    conversions = lines * (CIRCUIT["dac_j"] + CIRCUIT["adc_j"]) + 2 * 4 * CIRCUIT["overhead_j"]
    assert spent.energy_j == pytest.approx(3 * 2 * conversions)
    assert spent.cost().reads == 3 * 2 * 2 and spent.cost().time_s == pytest.approx(12 * CIRCUIT["read_s"])
    unknown = of_calibration(2, PLACE, electrics(options(circuit={"read_s": 1e-6}), known()))
    assert unknown.energy_j is None and unknown.busy_s is not None


def test_what_is_assumed_is_told_and_what_is_not_known_stays_unknown() -> None:
    given = {"value": None, "unit": "1", "source": "unknown"}
    assumed = {name: given for name in ("voltage_up", "voltage_down", "g_min", "g_max", "endurance")}
    assumed["pulse_width"] = {"value": 3e-8, "unit": "s", "source": "assumed: a guess"}
    made = electrics(options(assumed=assumed), device("ecram"))
    assert made.assumed == ("pulse_width = 3e-08 s (assumed: a guess)",) and made.pulse_width == 3e-8
    assert "electrical.g_max" in made.unknown and made.slot_s == pytest.approx(3e-8 + CIRCUIT["gap_s"])
    own = electrics(options(assumed=assumed), known())
    assert own.pulse_width == WIDTH and own.assumed == () and own.unknown == ("electrical.endurance",)
    spent = drivers(PLACE, card=device("ecram"), made=options(assumed=assumed)).pulse(trains())
    assert spent.energy_j is None and spent.busy_s is not None
    bare: Electrics = electrics(options(circuit=None), known())
    assert bare.circuit.read_s is None and of_read(Read(None, 1), PLACE, bare, torch.ones(1, OUT, IN)).busy_s is None


@pytest.mark.parametrize(("lines", "room", "wanted"), [(9, 5, (5, 4)), (8, 8, (8,)), (17, 8, (6, 6, 5)), (1, 3, (1,))])
def test_lines_are_shared_evenly(lines: int, room: int, wanted: tuple[int, ...]) -> None:
    assert shares(lines, room) == wanted
