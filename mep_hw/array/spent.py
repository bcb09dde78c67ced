"""Time and energy of driving and reading the arrays of a coupling, from counts of what their lines and cells see.

    time of an array    slots (width + gap) + reads read_s + rounds settle       arrays work at once: the longest counts
    energy of pulses    sum n E + sum h E / 4 + (V/2)^2 C + driver               V of the direction, C of a whole line
    energy of a read    drive_s V_read^2 sum G + V_read^2 C + dac + (sensed lines) adc + overhead       of a word line

with n pulses and h halves of each cell (see `driven`), and E the energy of a pulse: width V^2 G in ohmic cells, with G
the conductance before the cycle; in cells that are written through a gate or an electrolyte what their card says.

Estimates. Not valid where currents are lost along wires; without leakage of the circuits and whatever the host does.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mep_hw.array.driven import Driven
from mep_hw.array.electrics import Electrics
from mep_hw.array.layout import Layout
from mep_hw.schedule.cost import Cost, known_sum
from mep_hw.schedule.ir import Along, Read


@dataclass(frozen=True)
class Spent:
    """What every place of the grid of arrays did: `busy_s`, `cycles`, `slots` and `reads` are (rows, columns) of it.

    pulses, line_pulses, energy_j: of all places together.
    """

    busy_s: Tensor | None
    cycles: Tensor
    slots: Tensor
    reads: Tensor
    pulses: int
    line_pulses: int
    energy_j: float | None

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            known_sum(self.busy_s, other.busy_s), self.cycles + other.cycles, self.slots + other.slots,
            self.reads + other.reads, self.pulses + other.pulses, self.line_pulses + other.line_pulses,
            known_sum(self.energy_j, other.energy_j),
        )  # fmt: skip

    def cost(self) -> Cost:
        """As all arrays work at once, the longest of them counts."""
        time = None if self.busy_s is None else float(self.busy_s.max())
        cycles, slots, reads = (int(counts.max()) for counts in (self.cycles, self.slots, self.reads))
        return Cost(time, self.energy_j, cycles, slots, self.pulses, self.line_pulses, reads)


def of_outer(driven: Driven, cycles: int, slots: int, electrics: Electrics, cells: Tensor) -> Spent:
    """Outer products, `slots` of them with their polarity phases; `cells` (arrays, out, in) hold these weights."""
    one = driven.words.new_tensor([[1]], dtype=torch.int64)
    busy = None if electrics.slot_s is None else one * slots * electrics.slot_s
    return _spent(driven, busy, one * cycles, one * slots, one * 0, pulse_energy(driven, electrics, cells))


def of_rows(driven: Driven, along: Along, electrics: Electrics, cells: Tensor) -> Spent:
    """Row writes along these lines, see `driven.in_rows`."""
    selected = driven.words if along == "words" else driven.bits
    # Up pulses come before down pulses; the two arrays of a pair are written at once.
    slots, cycles = (_by_place(counts.sum(0).amax(0), driven.layout, along) for counts in (selected, selected > 0))
    busy = None if electrics.slot_s is None else slots * electrics.slot_s
    return _spent(driven, busy, cycles, slots, torch.zeros_like(slots), pulse_energy(driven, electrics, cells))


def of_reads(lines: Tensor, layout: Layout, electrics: Electrics, cells: Tensor, after_pulses: bool = False) -> Spent:
    """Reads of single word lines, `lines` times each, (columns of the grid, in); after pulses their cells must settle
    first."""
    count = _by_place(lines, layout, "words")
    circuit = electrics.circuit
    pause = circuit.settle_s if after_pulses else 0.0
    busy = None if circuit.read_s is None or pause is None else count * (circuit.read_s + pause)
    energy = None
    if (known := _of_a_read(electrics)) is not None:
        drive_s, volt, farad, dac, adc, more = known
        siemens = electrics.conductance(cells).sum(0)  # of both arrays of a pair
        of_lines = torch.stack([part.sum(0) for part in siemens.split(layout.bits)])
        sensed = torch.tensor(layout.bits, dtype=torch.float32)[:, None]
        each = volt**2 * (drive_s * of_lines + farad * layout.arrays * sensed) + dac + adc * sensed + more
        energy = float((each * lines).sum())
    zero = torch.zeros_like(count)
    return Spent(busy, zero, zero, count, 0, 0, energy)


def of_products(states: Tensor, times: int, layout: Layout, electrics: Electrics, cells: Tensor) -> Spent:
    """Transposed products of `states` (n, out), `times` each: bit lines are driven, word lines sensed."""
    count = torch.full((len(layout.words), len(layout.bits)), len(states) * times)
    busy = None if electrics.circuit.read_s is None else count * electrics.circuit.read_s
    energy = None
    if (known := _of_a_read(electrics)) is not None:
        drive_s, volt, farad, dac, adc, more = known
        squares = states.square().to(torch.float32).sum(0)  # of each bit line, over all products
        of_lines = electrics.conductance(cells).sum((0, 2))
        crossed = layout.arrays * cells.shape[2]
        driven = volt**2 * float((squares * (drive_s * of_lines + farad * crossed)).sum())
        conversions = len(states) * (len(layout.words) * cells.shape[1] * dac + len(layout.bits) * cells.shape[2] * adc)
        energy = times * (driven + conversions + len(states) * count.numel() * more)
    zero = torch.zeros_like(count)
    return Spent(busy, zero, zero, count, 0, 0, energy)


def of_read(cycle: Read, layout: Layout, electrics: Electrics, cells: Tensor) -> Spent:
    """A look at what cells of these weights (arrays, out, in) hold."""
    if cycle.basis is not None:
        return of_products(cycle.basis.T.abs(), cycle.reads, layout, electrics, cells)
    lines = torch.full((len(layout.bits), cells.shape[2]), float(cycle.reads))
    return of_reads(lines, layout, electrics, cells)


def of_calibration(reads: int, layout: Layout, electrics: Electrics) -> Spent:
    """`reads` reads of nothing in each of three phases and both directions: all converters work, no currents flow."""
    count = torch.full((len(layout.words), len(layout.bits)), 6 * reads)
    circuit = electrics.circuit
    busy = None if circuit.read_s is None else count * circuit.read_s
    energy = None
    if circuit.dac_j is not None and circuit.adc_j is not None and circuit.overhead_j is not None:
        # Each line has a DAC in one direction and an ADC in the other.
        lines = len(layout.bits) * sum(layout.words) + len(layout.words) * sum(layout.bits)
        energy = 3 * reads * (lines * (circuit.dac_j + circuit.adc_j) + 2 * count.numel() * circuit.overhead_j)
    zero = torch.zeros_like(count)
    return Spent(busy, zero, zero, count, 0, 0, energy)


def _of_a_read(electrics: Electrics) -> tuple[float, float, float, float, float, float] | None:
    """Seconds that currents flow, volts, farads per crossing, and joules of DAC, ADC and the rest; None: one of them is
    not known."""
    c = electrics.circuit
    if c.drive_s is None or c.read_v is None or c.line_f is None or not electrics.conducts:
        return None
    if c.dac_j is None or c.adc_j is None or c.overhead_j is None:
        return None
    return c.drive_s, c.read_v, c.line_f, c.dac_j, c.adc_j, c.overhead_j


def pulse_energy(driven: Driven, electrics: Electrics, cells: Tensor) -> float | None:
    """Joules that pulses and halves take in cells of these weights (arrays, out, in), and in lines and drivers; None
    where one of these is not known."""
    circuit, layout = electrics.circuit, driven.layout
    up, down = electrics.voltage_up, electrics.voltage_down
    taken = electrics.pulse_energy(cells)
    if taken is None or up is None or down is None or circuit.line_f is None or circuit.driver_j is None:
        return None
    shares, joules = taken
    of_word, of_bit = (torch.tensor(n, dtype=torch.float32)[:, None] for n in (layout.bits, layout.words))  # crossings
    word_lines = torch.stack([part.sum(1) for part in shares.split(layout.bits, 1)], 1)  # (arrays, columns, in)
    bit_lines = torch.stack([part.sum(2) for part in shares.split(layout.words, 2)], 1)
    total, shares = 0.0, shares.flatten()
    for direction, volt in enumerate((up, down)):
        words, bits = driven.words[direction], driven.bits[direction]
        pulses = float(shares @ driven.pulses[direction].flatten().to(shares))
        halves = float((word_lines * words).sum()) + float((bit_lines * bits).sum()) - 2 * pulses
        crossed = float((words * of_word).sum()) + float((bits * of_bit).sum())
        total += joules[direction] * (pulses + halves / 4) + circuit.line_f * (volt / 2) ** 2 * crossed
    return total + circuit.driver_j * driven.line_pulses


def _by_place(lines: Tensor, layout: Layout, along: Along) -> Tensor:
    """Sums (rows, columns of the grid) over the lines of each array, from (columns, in) or (rows, out)."""
    parts = layout.words if along == "words" else layout.bits
    sums = torch.stack([part.sum(1) for part in lines.split(parts, 1)])
    return sums if along == "words" else sums.T


def _spent(
    driven: Driven, busy: Tensor | None, cycles: Tensor, slots: Tensor, reads: Tensor, energy: float | None
) -> Spent:
    pulses = sum(int(side.sum()) for side in driven.pulses)
    return Spent(busy, cycles, slots, reads, pulses, driven.line_pulses, energy)
