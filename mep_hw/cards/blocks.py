"""What every card is made of: strict frozen blocks, and numbers that carry their unit and source.

Not valid as a check of units: a unit is text for people, except where a field's meaning names the allowed ones.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$")]


class Block(BaseModel):
    """Base of every block: frozen, strict, no unknown keys, no NaN or infinity; dumps under the card's own keys."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False, serialize_by_alias=True)


class Quantity(Block):
    """A number with its unit and where it comes from."""

    value: float | None = Field(description="the number; null where it is unknown or has no bound")
    unit: Text = Field(description="unit of the number, or 'weight' for the model's own weight units")
    source: Text = Field(description="where the number comes from; for null, whether it is unknown or has no bound")


class Known(Block):
    """A number that a model cannot do without, with its unit and where it comes from."""

    value: float = Field(description="the number")
    unit: Text = Field(description="unit of the number, or 'weight' for the model's own weight units")
    source: Text = Field(description="where the number comes from")


class Amount(Quantity):
    """A quantity that cannot be negative."""

    value: float | None = Field(ge=0, description="the number, 0 or above; null where it is unknown or has no bound")


class Size(Known):
    """A known number that cannot be negative."""

    value: float = Field(ge=0, description="the number, 0 or above")


class Sizes(Block):
    """Known numbers, none negative, with one unit and source."""

    # strict=False for the container only: YAML has lists where the frozen card keeps a tuple.
    values: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(strict=False, min_length=2)] = Field(
        description="the numbers, two or more, each 0 or above"
    )
    unit: Text = Field(description="unit of the numbers, or 'weight' for the model's own weight units")
    source: Text = Field(description="where the numbers come from")


class Positive(Known):
    """A known number above 0."""

    value: float = Field(gt=0, description="the number, above 0")
