"""The `array` block of a backend card: how large an array is, and what stands between its cells and digital numbers.

States and drives have no unit: a state is what a layer sends, a drive what a coupling makes of it (weight times state).
Converters are described in these, so that a card does not change with the cell; cells and their conductances belong to
the device card. A number that differs between lines is drawn once per machine, from a normal law.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from mep_hw.cards.blocks import Block
from mep_hw.cards.circuit import Circuit
from mep_hw.cards.physics import Electrical
from mep_hw.cards.transfer import TransferOptions

Objective = Literal["time", "energy", "wear"]  # what the choice between forms of an update minimises


class Wires(Block):
    """Resistance of the word lines (driven in a forward read) and of the bit lines (sensed in a forward read)."""

    word_ohm: float = Field(default=0.0, ge=0, description="resistance of a word line per cell, in ohm; 0: ideal")
    bit_ohm: float = Field(default=0.0, ge=0, description="resistance of a bit line per cell, in ohm; 0: ideal")
    solution: Literal["exact", "lines", "first_order"] = Field(
        default="exact", description="how the effect of wires is computed: exact, or one of the cheap approximations"
    )

    @property
    def resistive(self) -> bool:
        """Whether there is an effect at all."""
        return self.word_ohm > 0 or self.bit_ohm > 0


class Converter(Block):
    """A converter between digital numbers and line voltages or currents. As it stands it is ideal."""

    bits: int | None = Field(default=None, ge=2, le=16, description="resolution, 2 to 16 bits; null: not quantised")
    range: float | None = Field(
        default=None, gt=0, validate_default=True,
        description="largest value before saturation, in state units (dac) or drive units (adc); null: no limit",
    )  # fmt: skip
    signed: bool = Field(default=True, description="whether values reach from -range; false: from 0")
    rounding: Literal["nearest", "stochastic"] = Field(
        default="nearest", description="to the nearest level, or up with the probability of the remainder"
    )
    gain_sd: float = Field(default=0.0, ge=0, description="spread of the gain over lines, relative, no unit")
    offset_sd: float = Field(default=0.0, ge=0, description="spread of the zero over lines, in the unit of range")
    offset: float = Field(default=0.0, description="systematic zero, the same for all lines, in the unit of range")
    noise_sd: float = Field(default=0.0, ge=0, description="noise of one conversion, in the unit of range")

    # On `range`, because bits are validated before it.
    @field_validator("range")
    @classmethod
    def _quantiser_has_range(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is None and info.data.get("bits") is not None:
            raise ValueError("must be given where bits are")
        return value


class Periphery(Block):
    """The converters of one reading direction."""

    dac: Converter = Field(default=Converter(), description="from digital states to line voltages")
    adc: Converter = Field(default=Converter(), description="from line currents to digital drives")


class ReadNoise(Block):
    """Noise of one cell in one read: variance = (absolute * conductance range)^2 + (relative * conductance)^2."""

    absolute: float = Field(
        default=0.0, ge=0, description="part that every cell has, as a share of the conductance range g_max - g_min"
    )
    relative: float = Field(default=0.0, ge=0, description="part in proportion to the cell, as a share of conductance")


class PhaseMismatch(Block):
    """By how much a read in a nudged phase differs from one in the free phase; each sign of the nudge has its own."""

    gain_sd: float = Field(default=0.0, ge=0, description="spread of the gain over sensed lines, relative, no unit")
    offset_sd: float = Field(default=0.0, ge=0, description="spread of the zero over sensed lines, in drive units")


class Writing(Block):
    """How weights are changed."""

    minimise: Objective | None = Field(
        default=None, description="by what the compiler chooses among write_modes: the time or the energy of an "
        "update, or the pulses of its cells (wear); null: the first of write_modes that the device can execute"
    )  # fmt: skip
    rank_max: int | None = Field(
        default=None, ge=1, description="most outer products of one update, the strongest ones; the rest is left to "
        "later updates; null: no limit; rule hebbian pulses all of them as they come"
    )  # fmt: skip
    rounding: Literal["nearest", "stochastic"] = Field(
        default="nearest", description="of row writes to whole pulses: the rest is left to later updates, or each cell "
        "gets one pulse more with the probability of its rest"
    )  # fmt: skip
    read_every: int = Field(
        default=0, ge=0, description="weight changes after which weights are read back, so that what they miss is made "
        "up for by later changes; 0: never, as writes without a look are trusted"
    )  # fmt: skip
    read_what: Literal["all", "written"] = Field(
        default="all", description="what is read back: every word line, or only the directions of the update just "
        "written where it has few (outer products)"
    )  # fmt: skip
    refresh_every: int = Field(
        default=0, ge=0, description="weight changes after which pairs of cells that hold one sign only are written "
        "anew, as pulses fill both of their cells; 0: never, and such pairs are verified instead of pulsed"
    )  # fmt: skip
    reads: int = Field(default=16, ge=1, description="reads of a line that are averaged where a schedule "
        "reads weights back; measurements of the machine's own (refreshed pairs, slices, zeros, compensation) take 64"
    )  # fmt: skip
    trains: Literal["stochastic", "deterministic"] = Field(
        default="stochastic", description="pulses of outer products: drawn at random, or counted and spread evenly"
    )
    tolerance: float = Field(
        default=0.01,
        ge=0,
        description="distance from its target, in the unit of scale_by, at which write and verify leaves a cell",
    )
    iterations: int = Field(default=20, ge=1, description="most rounds of pulses and reads of write and verify")
    noise_max: float | None = Field(
        default=None, gt=0, description="most that a weight may be off by chance, in the unit of scale_by: cells whose "
        "writes leave more noise are verified where write_modes hold cell, and scale is lowered until write noise and "
        "stuck cells come to no more; null: no limit",
    )  # fmt: skip
    step_max: float | None = Field(
        default=None, gt=0, description="largest step of one pulse, in the unit of scale_by: cells with larger steps "
        "are verified where write_modes hold cell, and scale is lowered until theirs are no larger; null: no limit",
    )  # fmt: skip
    disturb: float = Field(
        default=0.0, ge=0, le=1, description="by what a cell moves while one of its lines alone fires, at half of the "
        "voltage, as a share of the mean step of a pulse; 0: lines do not disturb"
    )  # fmt: skip
    drop_exponent: float | None = Field(
        default=None, gt=0, description="power of the share of the write voltage that comes through the wires to a "
        "cell, by which its steps are multiplied; null: write voltages do not drop"
    )  # fmt: skip


class ArrayOptions(Block):
    """One physical array; a coupling is spread over as many as it needs."""

    rows: int = Field(ge=1, description="word lines of one array")
    cols: int = Field(ge=1, description="bit lines of one array")
    scale: float = Field(
        default=1.0, gt=0, description="weight of the model that a cell of weight 1 stands for, in the unit of scale_by"
    )
    scale_by: Literal["weight", "largest"] = Field(
        default="weight", description="unit of scale, writing.tolerance and writing.noise_max: weight: that of the "
        "model's weights; largest: the largest initial weight of each coupling"
    )  # fmt: skip
    pairing: Literal["differential", "reference", "device"] = Field(
        default="differential", description="how signed weights are held: as the difference of two arrays, or of one "
        "cell and a reference, for which an array gives up one bit line and one word line; device: with a reference "
        "where cells hold both signs, else as a difference"
    )  # fmt: skip
    slices: int = Field(
        default=1, ge=1, le=8, description="arrays of falling significance that hold a weight together; needs write "
        "mode cell where there are several"
    )  # fmt: skip
    slice_base: float = Field(default=4.0, gt=1, description="significance of a slice over that of the next one")
    wires: Wires = Field(default=Wires(), description="resistance of the lines")
    solve_every: int = Field(
        default=1, ge=1, description="weight changes after which the effect of wires is computed anew"
    )
    calibrate_every: int = Field(
        default=0, ge=0, description="weight changes after which the zeros of all sensed lines are measured anew, to "
        "be subtracted from reads as numbers; also at the start; 0: never"
    )  # fmt: skip
    forward: Periphery = Field(default=Periphery(), description="converters of reads from word lines to bit lines")
    transposed: Periphery = Field(default=Periphery(), description="converters of reads from bit lines to word lines")
    read_noise: ReadNoise = Field(default=ReadNoise(), description="noise of one cell in one read")
    phase_mismatch: PhaseMismatch = Field(default=PhaseMismatch(), description="difference of nudged from free reads")
    writing: Writing = Field(default=Writing(), description="how weights are changed")
    transfer: TransferOptions | None = Field(
        default=None, description="updates go to a fast array beside each slow one and are transferred line by line; "
        "null: there is one array"
    )  # fmt: skip
    circuit: Circuit | None = Field(
        default=None, description="times and energies of drivers, lines and converters; null: unknown"
    )
    assumed: Electrical | None = Field(
        default=None, description="electrical numbers to assume for a device whose card does not know them, for "
        "estimates of time, energy and wear only; null: nothing is assumed"
    )  # fmt: skip

    @field_validator("writing")
    @classmethod
    def _directions_are_known(cls, writing: Writing) -> Writing:
        if writing.read_every and writing.read_what == "written" and writing.trains == "deterministic":
            raise ValueError("must read back all where trains are deterministic, as rounding has no few directions")
        return writing

    @field_validator("writing")
    @classmethod
    def _slices_are_verified(cls, writing: Writing, info: ValidationInfo) -> Writing:
        if info.data.get("slices", 1) > 1 and (writing.read_every or writing.refresh_every):
            raise ValueError("must leave read_every and refresh_every 0 where slices are several, which are verified")
        return writing

    @field_validator("writing")
    @classmethod
    def _drop_needs_wires(cls, writing: Writing, info: ValidationInfo) -> Writing:
        wires = info.data.get("wires")  # absent when they were wrong themselves
        if writing.drop_exponent is not None and isinstance(wires, Wires) and not wires.resistive:
            raise ValueError("must leave drop_exponent null where wires have no resistance")
        return writing

    @field_validator("transfer")
    @classmethod
    def _transfer_is_alone(cls, transfer: TransferOptions | None, info: ValidationInfo) -> TransferOptions | None:
        writing = info.data.get("writing")  # absent when it was wrong itself
        if transfer is None or not isinstance(writing, Writing):
            return transfer
        others = {
            "slices above 1": info.data.get("slices", 1) > 1,
            "writing.read_every": writing.read_every > 0,
            "writing.refresh_every": writing.refresh_every > 0,
            "writing.rank_max": writing.rank_max is not None,
            "deterministic writing.trains": writing.trains == "deterministic",
        }
        if found := [name for name, used in others.items() if used]:
            raise ValueError(
                f"must be null beside {', '.join(found)}: transfer makes up for what pulses miss by itself"
            )
        return transfer

    @field_validator("pairing")
    @classmethod
    def _room_for_the_reference(cls, pairing: str, info: ValidationInfo) -> str:
        if pairing != "differential" and min(info.data.get("rows", 2), info.data.get("cols", 2)) < 2:
            raise ValueError("with a reference an array must have at least 2 rows and 2 cols")
        return pairing
