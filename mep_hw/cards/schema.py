"""What a card may say: one frozen model per block, each field with its meaning, unit and bound.

A card is data about one machine (`BackendCard`) or one memory-cell technology (`DeviceCard`); physics and code stay in
`mep_hw/`. Unknown keys and wrong types are errors, so that a misspelt number never turns silently into a default.

Not valid for: checks that need code, such as whether the substrate class exists (see `resolve.import_substrate`), or
another card, such as whether the named device exists (see `load.load_device`). `model_copy(update=...)` does not check
its values; change a card in Python with `card.model_validate(card.model_dump() | {...})`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PrivateAttr, StringConstraints, ValidationInfo, field_validator, model_validator

from mep_hw.cards.array import ArrayOptions
from mep_hw.cards.blocks import Block, Name, Quantity, Text
from mep_hw.cards.fpga import FpgaOptions
from mep_hw.cards.loihi import LoihiOptions
from mep_hw.cards.physics import (
    CellNoise,
    Electrical,
    LogTime,
    OneOverF,
    Polynomial,
    PowerLaw,
    Programming,
    Retention,
    Saturating,
    Spread,
    Stuck,
)
from mep_hw.cards.registers import RegisterFormat
from mep_hw.cards.response import Pulsed, Response, Table
from mep_hw.cards.settling import Compute, GpuOptions, SettleOptions

Target = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$")]
AgreesWith = Literal["another simulator", "a published equation", "measured hardware", "exact arithmetic"]
WriteMode = Literal["exact", "outer", "row", "cell"]


class TrainingDefaults(Block):
    """What `train` uses where the caller says nothing; chosen so that the backend trains well as it stands."""

    rule: Text = Field(description="name of the rule that turns a contrast into an update")
    lr: float = Field(gt=0, description="learning rate, in weight units per unit of the rule's output")
    epochs: int = Field(ge=1, description="passes over the training samples")
    batch_size: int = Field(ge=1, description="samples per update")
    beta: float = Field(gt=0, description="nudging strength, no unit; the estimator decides on its signs")
    momentum: float = Field(ge=0, lt=1, description="share of the previous step's memory that is kept, no unit")
    weight_decay: float = Field(ge=0, description="decay of a weight per step as a multiple of lr, no unit")
    lr_schedule: Literal["constant", "cosine"] = Field(description="course of the learning rate over the run")


class Conformance(Block):
    """Bars of the conformance suite, and the checks that do not apply, each with a written reason."""

    gradient_cosine: float = Field(ge=0, le=1, description="least cosine of contrast and exact gradient, per layer")
    first_order_cosine: float = Field(
        default=0.95, ge=0, le=1, description="the same for estimators whose error is of order beta"
    )
    gradient_norm_error: float = Field(
        ge=0, description="largest |norm of contrast / norm of exact gradient - 1|, per layer"
    )
    gradient_repeats: int = Field(
        default=1, ge=1, description="times that each sample is in the batch of the gradient check, against noise"
    )
    fixed_point: float = Field(
        ge=0,
        description="largest distance of a unit of a settled state from where it minimises the energy, in state units, "
        "and largest change when the state settles again",
    )
    energy_rise: float = Field(
        default=0.0, ge=0, description="how far above its start the energy may end, where noise keeps a state moving"
    )
    apply_cosine: float = Field(ge=0, le=1, description="least cosine of realised and intended weight change")
    apply_gain_error: float = Field(
        ge=0, description="largest |share of the intended weight change that is realised - 1|, in the mean over repeats"
    )
    range_spread: float = Field(
        default=0.0, ge=0, description="largest share by which a weight may be beyond the device's nominal range, as "
        "cells differ"
    )  # fmt: skip
    round_trip: float = Field(ge=0, description="largest |weight read - weight written|, in weight units")
    batch_invariance: float = Field(
        ge=0, description="largest change of a sample's state, in state units, when it settles in another batch size"
    )
    learns_accuracy: float = Field(ge=0, le=1, description="least test accuracy of the learning check, as a fraction")
    unsupported: dict[str, Text] = Field(
        default_factory=dict, description="checks that this machine cannot pass: check name to written reason"
    )
    unsupported_models: dict[str, Text] = Field(
        default_factory=dict,
        description="kinds of models of the suite that this machine refuses: kind to written reason",
    )


class Card(Block):
    """What both kinds of card share. `path` and `origin` say where it was read from; they are not part of the data."""

    schema_: Literal[1] = Field(default=1, alias="schema", description="version of the card format")
    name: Name = Field(description="the card's name, the same as its folder's: lower case letters, digits, - and _")
    summary: Text = Field(description="one line for tables")

    _path: Path | None = PrivateAttr(default=None)

    @property
    def path(self) -> Path | None:
        """The file that this card was read from, or None for a card made in Python."""
        return self._path

    @property
    def origin(self) -> str:
        """How messages name it: `backends/cpu/card.yaml`, the path of a loose file, or `card cpu` where it has none."""
        if self._path is None:
            return f"card {self.name}"
        return "/".join(self._path.parts[-3:]) if self._path.name == "card.yaml" else str(self._path)


class BackendCard(Card):
    """A named machine: substrate class, how it settles, what it can write, training defaults and conformance bars."""

    substrate: Target = Field(description="the Python class that runs this machine, as package.module:Class")
    agrees_with: AgreesWith = Field(description="what the results of this backend were checked against")
    device: Name | None = Field(default=None, description="memory-cell device used by default; null: none")
    compute: Compute = Field(description="number format and place of the arithmetic")
    array: ArrayOptions | None = Field(
        default=None, description="the analog arrays that hold the weights; null: weights are digital"
    )
    settle: SettleOptions = Field(description="how long and how closely the substrate settles")
    # strict=False for the container only: YAML has lists where the frozen card keeps a tuple.
    write_modes: Annotated[tuple[WriteMode, ...], Field(strict=False)] = Field(
        min_length=1, description="ways in which this machine can change weights, the preferred one first"
    )
    gpu: GpuOptions | None = Field(default=None, description="how kernels of a GPU run; null: this machine has none")
    loihi: LoihiOptions | None = Field(default=None, description="how a Loihi computes; null: this machine is none")
    fpga: FpgaOptions | None = Field(default=None, description="how an FPGA computes; null: this machine is none")
    registers: RegisterFormat | None = Field(
        default=None, description="number format of digital weights; null: that of compute.dtype"
    )
    complex_states: bool = Field(
        default=False, description="whether states may be complex numbers, as the holomorphic estimator needs"
    )
    training: TrainingDefaults = Field(description="what train uses where the caller says nothing")
    conformance: Conformance = Field(description="bars of the conformance suite")

    @field_validator("registers")
    @classmethod
    def _of_digital_weights(cls, registers: RegisterFormat | None, info: ValidationInfo) -> RegisterFormat | None:
        if registers is not None and info.data.get("array") is not None:
            raise ValueError("must be null where weights are in an array")
        return registers

    @field_validator("write_modes")
    @classmethod
    def _each_mode_once(cls, modes: tuple[WriteMode, ...]) -> tuple[WriteMode, ...]:
        if len(set(modes)) < len(modes):
            raise ValueError("must name each mode once")
        return modes

    @field_validator("write_modes")
    @classmethod
    def _of_weights_as_they_are_held(cls, modes: tuple[WriteMode, ...], info: ValidationInfo) -> tuple[WriteMode, ...]:
        if "array" not in info.data:  # it was wrong itself
            return modes
        if info.data["array"] is None and modes != ("exact",):
            raise ValueError("must be [exact] without an array block, as digital weights are written as they are")
        if info.data["array"] is not None and "exact" in modes:
            raise ValueError("must not hold exact beside an array block, whose cells take outer, row or cell")
        return modes


class DeviceCard(Card):
    """A memory-cell technology: the weights that one cell can hold, how pulses change them, and what time does."""

    agrees_with: AgreesWith = Field(description="what the cells of this card were checked against")
    response: Response = Field(description="the pulse-response family and its numbers")
    w_min: Quantity = Field(description="lowest weight that a cell can hold")
    w_max: Quantity = Field(description="highest weight that a cell can hold")
    dw_min: Quantity = Field(description="mean weight change of one pulse in the middle of the range")
    spread: Spread | None = Field(description="how cells differ from each other; null: they do not")
    stuck: Stuck | None = Field(description="cells that no pulse moves; null: there are none")
    noise: CellNoise | None = Field(description="noise of pulses and reads; null: there is none")
    programming: Programming = Field(description="error of setting a cell to a target by program and verify")
    retention: Retention = Field(description="what time does to a stored weight")
    electrical: Electrical = Field(description="pulses and conductances, for time, energy and wear")
    reference: Text = Field(description="publication or definition that the card as a whole follows")

    @property
    def family(self) -> str:
        """Name of the pulse-response family."""
        return self.response.family

    def _reads_noisily(self) -> bool:
        return self.noise is not None and isinstance(self.noise.read, Saturating | OneOverF)

    @field_validator("w_max")
    @classmethod
    def _range_not_empty(cls, w_max: Quantity, info: ValidationInfo) -> Quantity:
        w_min = info.data.get("w_min")  # absent when w_min itself was wrong
        if isinstance(w_min, Quantity) and w_min.value is not None and w_max.value is not None:
            if w_max.value <= w_min.value:
                raise ValueError(f"must have a value above that of w_min, {w_min.value:g}")
        return w_max

    @field_validator("dw_min")
    @classmethod
    def _step_positive(cls, dw_min: Quantity) -> Quantity:
        if dw_min.value is not None and dw_min.value <= 0:
            raise ValueError("must have a value above 0, or null")
        return dw_min

    @model_validator(mode="after")
    def _family_has_its_numbers(self) -> DeviceCard:
        low, high = self.w_min.value, self.w_max.value
        if isinstance(self.response, Pulsed):
            if low is None or high is None or self.dw_min.value is None:
                raise ValueError(
                    f"w_min, w_max and dw_min must have values, as the family {self.family} computes with them"
                )
            if not low <= 0 <= high:
                raise ValueError(f"the range {low:g} to {high:g} must contain 0, where a step has the size dw_min")
        timed = isinstance(self.programming, Polynomial | Saturating) or isinstance(self.retention, PowerLaw | LogTime)
        if (timed or self._reads_noisily()) and (low is None or high is None):
            raise ValueError("w_min and w_max must have values, as programming, retention and read noise refer to them")
        if self.stuck is not None and self.stuck.share.value and (low is None or high is None):
            raise ValueError("w_min and w_max must have values where cells are stuck, as they are stuck between them")
        if isinstance(self.response, Table):
            if (
                low is None
                or high is None
                or self.electrical.g_min.value is None
                or self.electrical.g_max.value is None
            ):
                raise ValueError("w_min, w_max, electrical.g_min and electrical.g_max must have values for a table")
        return self
