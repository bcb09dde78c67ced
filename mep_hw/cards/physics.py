"""What else a device card says about a cell: spread, noise, programming, retention, and its electrical side.

Laws are blocks with a `law`; `unknown` says that no source was found, which is not the same as `none`. Conductances and
currents of a law refer to `full_scale`: the one that belongs to w_max, with 0 at w_min. r = (w - w_min) / (w_max -
w_min).

    polynomial    sd = c0 + c1 r + c2 r^2                                                       (programming)
    saturating    sd = amplitude (1 - exp(-G / scale)),  G = r full_scale                       (programming, read)
    one-over-f    sd = G min(q r^-exponent, q_max) sqrt(ln((t + t_read) / (2 t_read)))          (read)
    power-law     G(t) = G (t / t0)^-nu,  nu = |mean + sd xi|, both clamp(slope ln r + offset)  (retention)
    log-time      G(t) = G + (rate + rate_spread xi) ln(t / t0)                                 (retention)
    leak          w -> w (1 - 1 / lifetime) with every update                                   (retention)

with t = t0 + time since the cell was written, and xi drawn once per writing.

Not valid for: temperatures other than that of the source; none of the sources used so far gives a factor.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from mep_hw.cards.blocks import Amount, Block, Known, Positive, Quantity, Size, Text


class Spread(Block):
    """How cells differ from each other. A null value is unknown and not modelled."""

    dw_min: Amount = Field(description="device-to-device standard deviation of the step, as a share of dw_min")
    law: Literal["normal", "lognormal"] = Field(
        description="distribution of the step: 1 + sd xi, or exp(sd xi), whose mean is above 1"
    )
    up_down: Amount = Field(description="device-to-device standard deviation of the asymmetry, as a share of dw_min")
    w_min: Amount = Field(description="device-to-device standard deviation of the lower bound, as a share of w_min")
    w_max: Amount = Field(description="device-to-device standard deviation of the upper bound, as a share of w_max")


class Stuck(Block):
    """Cells that no pulse moves."""

    share: Amount = Field(description="share of the cells that are stuck, 0 to 1; null: unknown, none are modelled")
    reach: Amount = Field(description="largest |weight| at which a cell is stuck; null: anywhere in its range")

    @field_validator("share")
    @classmethod
    def _is_a_share(cls, share: Amount) -> Amount:
        if share.value is not None and share.value > 1:
            raise ValueError("must have a value from 0 to 1, or null")
        return share


class Unknown(Block):
    """No source was found."""

    law: Literal["unknown"] = Field(description="name of the law")
    source: Text = Field(description="what was looked for, or where a law could come from")


class Nothing(Block):
    """The effect does not exist, by definition or by the source."""

    law: Literal["none"] = Field(description="name of the law")
    source: Text = Field(description="definition or publication that says so")


class Polynomial(Block):
    """A standard deviation that is a parabola of the conductance."""

    law: Literal["polynomial"] = Field(description="name of the law")
    c0: Known = Field(description="constant term")
    c1: Known = Field(description="linear term")
    c2: Known = Field(description="quadratic term")
    full_scale: Positive = Field(description="conductance that belongs to w_max, in the unit of the terms")


class Saturating(Block):
    """A standard deviation that rises from 0 and saturates."""

    law: Literal["saturating"] = Field(description="name of the law")
    amplitude: Size = Field(description="standard deviation far above scale")
    scale: Positive = Field(description="current or conductance over which it rises")
    full_scale: Positive = Field(description="current or conductance that belongs to w_max, in the same unit")


class OneOverF(Block):
    """Read noise with a 1/f spectrum, accumulated since the cell was last written."""

    law: Literal["one-over-f"] = Field(description="name of the law")
    q: Size = Field(description="relative noise amplitude at full scale")
    exponent: Size = Field(description="power of 1 / r with which the relative amplitude grows")
    q_max: Size = Field(description="largest relative amplitude")
    t_read: Positive = Field(description="duration of one read, in seconds")
    t0: Size = Field(description="time after writing from which time is counted, in seconds")


class Leak(Block):
    """A weight that decays to 0."""

    law: Literal["leak"] = Field(description="name of the law")
    lifetime: Positive = Field(description="number of updates in which a weight falls to 1/e")
    lifetime_spread: Size = Field(description="device-to-device standard deviation, as a share of lifetime")


class PowerLaw(Block):
    """Conductance drift of phase-change cells."""

    law: Literal["power-law"] = Field(description="name of the law")
    nu_slope: Known = Field(description="slope of the mean exponent against ln r")
    nu_offset: Known = Field(description="mean exponent at r = 1, before clamping")
    nu_low: Size = Field(description="lower clamp of the mean exponent")
    nu_high: Size = Field(description="upper clamp of the mean exponent")
    spread_slope: Known = Field(description="slope of the exponent's standard deviation against ln r")
    spread_offset: Known = Field(description="that standard deviation at r = 1, before clamping")
    spread_low: Size = Field(description="lower clamp of that standard deviation")
    spread_high: Size = Field(description="upper clamp of that standard deviation")
    t0: Positive = Field(description="time after writing at which the conductance counts as written, in seconds")


class LogTime(Block):
    """Relaxation linear in the logarithm of time."""

    law: Literal["log-time"] = Field(description="name of the law")
    rate: Known = Field(description="mean change per unit of ln t")
    rate_spread: Size = Field(description="device-to-device standard deviation of the rate")
    t0: Positive = Field(description="time after writing at which relaxation starts to count, in seconds")
    full_scale: Positive = Field(description="conductance that belongs to w_max, in the unit of the rate")


Programming = Annotated[Unknown | Nothing | Polynomial | Saturating, Field(discriminator="law")]
ReadNoise = Annotated[Unknown | Nothing | Saturating | OneOverF, Field(discriminator="law")]
Retention = Annotated[Unknown | Nothing | Leak | PowerLaw | LogTime, Field(discriminator="law")]


class CellNoise(Block):
    """Noise of writing with pulses and of reading. A null value is unknown and not modelled."""

    cycle: Amount = Field(description="standard deviation of one step from pulse to pulse, as a share of the step")
    write: Amount = Field(description="standard deviation of the readable around the stored weight, in dw_min")
    read: ReadNoise = Field(description="noise of one read of one cell")


class Electrical(Block):
    """Pulses and conductances, for time, energy and wear; null: unknown, and what depends on it is then unknown."""

    pulse_width: Amount = Field(description="duration of one write pulse, in seconds")
    voltage_up: Quantity = Field(description="voltage of an up pulse, in volts")
    voltage_down: Quantity = Field(description="voltage of a down pulse, in volts")
    g_min: Amount = Field(description="conductance at w_min, in siemens")
    g_max: Amount = Field(description="conductance at w_max, in siemens")
    endurance: Amount = Field(description="pulses after which a cell counts as worn out")
    pulse_j: Amount | None = Field(
        default=None, description="energy of one pulse, in joules, of cells that are written through a gate or an "
        "electrolyte; leave it out where the write current flows through the conductance that is read"
    )  # fmt: skip
