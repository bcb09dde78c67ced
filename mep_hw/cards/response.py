"""Pulse responses: how the weight of a cell changes by one voltage pulse, as the data of a device card.

One block per family; `family` says which. With w a cell's weight, s_up and s_down its steps (dw_min, spread from cell
to cell, see `Spread`) and low and high its bounds, the mean change of one pulse is:

    constant-step    up  s_up                                     down  -s_down
    linear-step      up  s_up (1 - gamma_up w / w_max)            down  -s_down (1 - gamma_down w / w_min)
    soft-bounds      up  s_up (1 - (w + ref) / high)              down  -s_down (1 - (w + ref) / low)
    exp-step         up  s_up max(0, 1 - A_up e^(gamma_up z))     down  -s_down max(0, 1 - A_down e^(-gamma_down z))
                     with z = 2 a w / (high - low) + b
    power-step       up  s_up ((high - w)/(high - low))^gamma_up  down  -s_down ((w - low)/(high - low))^gamma_down
    piecewise        up  s_up n_up(r)                              down  -s_down n_down(r)
                     with r = (w - low) / (high - low) and n linear between nodes at equal distances, 0 to 1
    table            drawn from the measured distribution of the change at the cell's conductance

Definitions: Gokmen and Vlasov, Front. Neurosci. 10, 333 (2016) for constant steps; Rasch et al., arXiv 2104.02184 and
the parameter documentation of IBM's aihwkit for the others (piecewise: its PiecewiseStepDevice); Sidler et al. (2016),
Large-scale neural networks implemented with non-volatile memory: impact of conductance response, for jump tables.

Not valid for: pulses of other voltage or width than those the numbers were fitted to, and pulses so close to each other
that the cell has not come to rest.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mep_hw.cards.blocks import Block, Known, Size, Sizes, Text

Noise = Literal["relative", "constant"]
_NOISE = (
    "cycle noise grows with the step at the present weight (relative), or belongs to the step at weight 0 (constant)"
)


class Ideal(Block):
    """Any weight, exactly; there is no smallest pulse."""

    family: Literal["ideal"] = Field(description="name of the family")


class Programmed(Block):
    """A cell that is set by program and verify; no response to single pulses of equal kind is known."""

    family: Literal["programmed"] = Field(description="name of the family")
    source: Text = Field(description="why there is no pulse response")


class Pulsed(Block):
    """What the families of fitted steps share."""

    up_down: Known = Field(
        description="asymmetry of the mean step as a share of dw_min: positive lowers down pulses, negative up pulses"
    )


class ConstantStep(Pulsed):
    """Every pulse the same, whatever the weight."""

    family: Literal["constant-step"] = Field(description="name of the family")


class LinearStep(Pulsed):
    """A step that shrinks linearly towards the nominal bound, and is not zero there."""

    family: Literal["linear-step"] = Field(description="name of the family")
    gamma_up: Known = Field(description="share by which an up step is smaller at w_max than at 0")
    gamma_down: Known = Field(description="share by which a down step is smaller at w_min than at 0")
    gamma_up_spread: Size = Field(description="device-to-device standard deviation of gamma_up")
    gamma_down_spread: Size = Field(description="device-to-device standard deviation of gamma_down")
    noise: Noise = Field(description=_NOISE)


class SoftBounds(Pulsed):
    """A step that vanishes at the cell's own bound; the weight is counted from a reference."""

    family: Literal["soft-bounds"] = Field(description="name of the family")
    reference_mean: Known = Field(description="mean of the reference that is subtracted from the cell")
    reference_spread: Size = Field(description="device-to-device standard deviation of the reference")
    symmetry_point_at_zero: bool = Field(
        description="whether each cell's reference is moved to where its up and down steps are equal"
    )
    noise: Noise = Field(description=_NOISE)


class ExpStep(Pulsed):
    """A step with an exponential dependence on the weight."""

    family: Literal["exp-step"] = Field(description="name of the family")
    a: Known = Field(description="how much of the weight's place in its range enters the exponent")
    b: Known = Field(description="offset in the exponent")
    amplitude_up: Known = Field(description="A_up, amplitude of the exponential part of an up step")
    amplitude_down: Known = Field(description="A_down, amplitude of the exponential part of a down step")
    gamma_up: Known = Field(description="steepness of the exponential for up steps")
    gamma_down: Known = Field(description="steepness of the exponential for down steps")
    noise_floor: Size = Field(
        description="part of the cycle noise that does not depend on the step, before noise.cycle"
    )
    noise_slope: Size = Field(description="part of the cycle noise that grows with |w|, before noise.cycle")


class PowerStep(Pulsed):
    """A step that falls as a power of the distance to the cell's own bound."""

    family: Literal["power-step"] = Field(description="name of the family")
    gamma: Size = Field(description="mean exponent of both directions")
    gamma_spread: Size = Field(description="device-to-device standard deviation of the exponent, as a share of gamma")
    gamma_up_down: Known = Field(
        description="asymmetry of the exponents as a share of gamma: positive lowers that of down, negative of up"
    )
    gamma_up_down_spread: Size = Field(description="device-to-device standard deviation of that asymmetry")


class Piecewise(Pulsed):
    """A step given at places between the cell's own bounds, and linear between them."""

    family: Literal["piecewise"] = Field(description="name of the family")
    nodes_up: Sizes = Field(
        description="up steps as multiples of dw_min, at equal distances from the lower bound to the upper one"
    )
    nodes_down: Sizes = Field(description="the same for down steps; may have another number of nodes")


class Table(Block):
    """Measured cumulative distributions of the conductance change, given the conductance; one table per direction."""

    family: Literal["table"] = Field(description="name of the family")
    folder: Text = Field(
        description="folder of the tables: . or ./NAME beside the card, absolute, or inside the one of MEP_HW_DATA"
    )
    up: Text = Field(description="stem of the three files for up pulses, such as 1.5V_set")
    down: Text = Field(description="stem of the three files for down pulses, such as 1.5V_reset")


Response = Annotated[
    Ideal | Programmed | ConstantStep | LinearStep | SoftBounds | ExpStep | PowerStep | Piecewise | Table,
    Field(discriminator="family"),
]
