"""The circuits around the cells of an array, as far as time and energy go: drivers, lines, converters.

Used for estimates only: no number here changes what a network computes. What is null is unknown, and so is then every
time or energy that depends on it.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from mep_hw.cards.blocks import Block, Text


class Circuit(Block):
    """Times in seconds, energies in joules."""

    gap_s: float = Field(default=0.0, ge=0, description="time between two write pulses, in seconds")
    settle_s: float | None = Field(
        default=None, ge=0, description="time after the last pulse of a write before cells can be read, in seconds"
    )
    read_s: float | None = Field(
        default=None, gt=0, description="duration of one read of an array with its conversions, in seconds"
    )
    drive_s: float | None = Field(
        default=None, gt=0, description="time for which currents flow through the cells in one read, in seconds; with "
        "states coded in time, that of state 1"
    )  # fmt: skip
    read_v: float | None = Field(default=None, gt=0, description="voltage of a line driven at state 1, in volts")
    line_f: float | None = Field(
        default=None, ge=0, description="capacitance of a line per line that it crosses, in farads"
    )
    driver_j: float | None = Field(
        default=None, ge=0, description="energy of a driver per pulse, beside that of its line, in joules"
    )
    dac_j: float | None = Field(default=None, ge=0, description="energy of one digital-to-analog conversion, in joules")
    adc_j: float | None = Field(default=None, ge=0, description="energy of one analog-to-digital conversion, in joules")
    overhead_j: float | None = Field(
        default=None, ge=0, description="energy of clocks, control and digital work per read of an array, in joules"
    )
    activity: float = Field(
        default=1.0, gt=0, le=1, description="mean over driven lines of the state squared, or of the state where it is "
        "coded in time, by which currents through cells are counted; 1: all lines at state 1, the most there is"
    )  # fmt: skip
    reads_per_product: int = Field(
        default=1, ge=1, description="reads, one after the other, that make one product, such as one for each "
        "combination of the signs of states and weights"
    )  # fmt: skip
    # strict=False for the container only: YAML has lists where the frozen card keeps a tuple.
    unsourced: Annotated[tuple[Text, ...], Field(strict=False)] = Field(
        default=(), description="fields of this block whose numbers are assumptions, without a source"
    )

    @field_validator("drive_s")
    @classmethod
    def _currents_flow_during_the_read(cls, drive_s: float | None, info: ValidationInfo) -> float | None:
        read_s = info.data.get("read_s")
        if drive_s is not None and read_s is not None and drive_s > read_s:
            raise ValueError(f"must be at most read_s, {read_s:g}")
        return drive_s

    @field_validator("unsourced")
    @classmethod
    def _numbers_of_this_block(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        for name in names:
            if info.data.get(name) is None:
                raise ValueError(f"must name fields of this block that have a number, unlike {name}")
        return names
