"""What a training run was asked to do, after the backend card has filled in what the caller left open."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, ValidationError

from mep_hw import rules
from mep_hw.cards.array import Objective
from mep_hw.cards.schema import BackendCard
from mep_hw.errors import InputError

REMEDY = {
    "lr": "0.003 is a good start for adam, 0.05 for sgd on narrow layers",
    "beta": "0.001 is a good start, more where settling is noisy; its sign is the estimator's business",
    "epochs": "give at least one",
    "batch_size": "give at least 1; a batch larger than the data is fine",
    "momentum": "0.9 is usual",
    "rank": "8 is a good start",
    "clip": "leave it out, or give the length that contrasts usually have",
    "bias_lr": "0.003 is a good start",
    "spectral_bound": "0.9 keeps settling fast",
    "spectral_method": "hammer writes the fewest outer products",
    "minimise": "time and energy are estimates, wear counts pulses",
    "warmup": "give a number of epochs, such as 1",
    "validation": "0.1 keeps a tenth of the training samples aside",
}


class Settings(BaseModel):
    """Every number that decides the result, together with the model, the data and the cards."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    backend: str
    device: str | None = None
    data: str = "digits"
    model: str = ""
    rule: str
    estimator: str = "centered"
    lr: PositiveFloat | Annotated[tuple[PositiveFloat, ...], Field(min_length=1)]  # one number, or one per layer
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    beta: float = Field(gt=0)
    momentum: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0)
    lr_schedule: Literal["constant", "cosine"]
    warmup: float = Field(0.0, ge=0)  # epochs over which the learning rate rises linearly
    rank: int | None = Field(None, ge=1)
    error_feedback: bool | None = None
    clip: float | None = Field(None, gt=0)
    bias_lr: float | None = Field(None, gt=0)
    spectral_bound: float | None = Field(None, gt=0)
    spectral_method: Literal["hammer", "normalise", "soft_cap"] = "hammer"
    minimise: Objective | None = None
    centre: bool = False
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    free_sweeps: int | None = Field(None, ge=1)
    nudged_sweeps: int | None = Field(None, ge=1)
    seed: int = Field(0, ge=0, lt=2**32)
    validation: float = Field(0.0, ge=0, lt=1)


def resolve(card: BackendCard, **given: Any) -> Settings:
    """Settings from explicit values (None: left open) and the card's `training:` block.

    A rule that is not the card's own brings its own learning rate, momentum and decay.

    Raises:
        InputError: naming the first value out of range.
    """
    values = card.training.model_dump() | {"backend": card.name}
    if given.get("rule") not in (None, card.training.rule):
        values |= rules.DEFAULTS.get(given["rule"], {})
    values |= {name: value for name, value in given.items() if value is not None}
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0])
        fix = REMEDY.get(field, "see mep-hw train --help")
        raise InputError("train", field, first["input"], rule=_lower(first["msg"]), fix=fix) from None


def _lower(message: str) -> str:
    return message.replace("Input should be", "must be")
