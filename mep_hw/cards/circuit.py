"""The circuits around the cells of an array, as far as time and energy go: drivers, lines, converters.

Used for estimates only: no number here changes what a network computes. What is null is unknown, and so is then every
time or energy that depends on it.
"""

from __future__ import annotations

from pydantic import Field

from mep_hw.cards.blocks import Block


class Circuit(Block):
    """Times in seconds, energies in joules."""

    gap_s: float = Field(default=0.0, ge=0, description="time between two write pulses, in seconds")
    settle_s: float | None = Field(
        default=None, ge=0, description="time after the last pulse of a write before cells can be read, in seconds"
    )
    read_s: float | None = Field(
        default=None, gt=0, description="duration of one read of an array with its conversions, in seconds"
    )
    read_v: float | None = Field(default=None, gt=0, description="voltage of a line driven at state 1, in volts")
    line_f: float | None = Field(
        default=None, ge=0, description="capacitance of a line per line that it crosses, in farads"
    )
    driver_j: float | None = Field(
        default=None, ge=0, description="energy of a driver per pulse, beside that of its line, in joules"
    )
    dac_j: float | None = Field(default=None, ge=0, description="energy of one digital-to-analog conversion, in joules")
    adc_j: float | None = Field(default=None, ge=0, description="energy of one analog-to-digital conversion, in joules")
