"""The written form of a model: what a YAML or JSON file holds, checked before anything is built.

    input: [1, 28, 28]
    cost: cross_entropy
    layers:
      - {conv: {channels: 32, kernel: 5}, after: [{pool: avg, size: 2}]}
      - {dense: 128, activation: tanh}
      - {dense: 10}
    skips:
      - {source: 1, target: 3, dense: true}

Layers are numbered from 1, the input is 0, and the last layer is the read-out (linear, so it takes no activation).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from mep_hw.errors import ModelError
from mep_hw.strict import parse_json, parse_yaml


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _plain(cls, value: object) -> object:
        """Numbers of numpy, which strict fields do not take, as Python's own."""
        if isinstance(value, list | tuple):
            return [cls._plain(entry) for entry in cast("Sequence[object]", value)]
        return value.item() if isinstance(value, np.generic) else value


_List = Field(strict=False)  # for the container only: YAML and JSON have lists where a frozen block keeps a tuple


class PoolSpec(_Strict):
    pool: Literal["avg", "max"]
    size: int = Field(ge=1)
    stride: int | None = Field(None, ge=1, description="defaults to size")
    padding: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _padding(self) -> PoolSpec:
        if 2 * self.padding > self.size:
            raise ValueError("padding must be at most half of size")
        return self


class ConvSpec(_Strict):
    channels: int = Field(ge=1)
    kernel: int = Field(ge=1)
    stride: int = Field(1, ge=1)
    padding: int = Field(0, ge=0)


class BoxSpec(_Strict):
    """s = clamp(gain * drive + offset, low, high)."""

    low: float = 0.0
    high: float = 1.0
    gain: float = Field(1.0, gt=0)
    offset: float = 0.0


ActivationName = Literal["hard_sigmoid", "clipped_relu", "sigmoid", "tanh"]


class LayerSpec(_Strict):
    """One layer and the coupling from the layer before it: `before` pools, dense or conv, `after` pools."""

    dense: int | None = Field(None, ge=1, description="number of units")
    conv: ConvSpec | None = None
    before: Annotated[tuple[PoolSpec, ...], _List] = ()
    after: Annotated[tuple[PoolSpec, ...], _List] = ()
    activation: ActivationName | BoxSpec | None = None
    bias: bool = True

    @model_validator(mode="after")
    def _one_operator(self) -> LayerSpec:
        if (self.dense is None) == (self.conv is None):
            raise ValueError("a layer needs exactly one of dense and conv")
        return self


class SkipSpec(_Strict):
    """An extra coupling from layer `source` (0 is the input) to a later layer `target`."""

    source: int = Field(ge=0)
    target: int = Field(ge=2)
    dense: bool = False
    conv: ConvSpec | None = None
    identity: float | None = Field(None, description="fixed strength of a link between layers of one shape")

    @model_validator(mode="after")
    def _one_operator(self) -> SkipSpec:
        if (self.dense, self.conv is not None, self.identity is not None).count(True) != 1:
            raise ValueError("a skip needs exactly one of dense: true, conv and identity")
        if self.target <= self.source + 1:
            raise ValueError("target must be at least source + 2")
        return self


class ModelSpec(_Strict):
    input: Annotated[tuple[int, ...], _List] = Field(min_length=1)
    layers: Annotated[tuple[LayerSpec, ...], _List] = Field(min_length=1)
    skips: Annotated[tuple[SkipSpec, ...], _List] = ()
    cost: Literal["squared_error", "cross_entropy"] = "squared_error"

    @model_validator(mode="after")
    def _consistent(self) -> ModelSpec:
        if min(self.input) < 1:
            raise ValueError("input sizes must be >= 1")
        if self.layers[-1].activation is not None:
            raise ValueError("the last layer is the linear read-out and takes no activation")
        if self.layers[-1].dense is None:
            raise ValueError("the last layer (the read-out) must be dense")
        for n, skip in enumerate(self.skips):
            if any((skip.source, skip.target) == (other.source, other.target) for other in self.skips[:n]):
                raise ValueError(f"skips: {skip.source} to {skip.target} occurs twice")
            if skip.target > len(self.layers):
                raise ValueError(f"skip target {skip.target} is beyond the last layer, {len(self.layers)}")
        return self

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types, defaults left out."""
        return self.model_dump(mode="json", exclude_defaults=True)


_NOT_KEYS = ("function-", "literal[", "BoxSpec")  # what pydantic adds to the path of a field


def parse(description: object, where: str = "model") -> ModelSpec:
    """A checked specification from plain dicts and lists.

    Raises:
        ModelError: naming the first wrong field.
    """
    try:
        return ModelSpec.model_validate(description)
    except ValidationError as error:
        errors = error.errors()
        # An activation (name or box) reports an error for each of the two: the deeper one is about what was meant.
        same = [e for e in errors if e["loc"][:3] == errors[0]["loc"][:3]]
        first = max(same, key=lambda e: len(e["loc"]))
        field = ".".join(str(part) for part in first["loc"] if not str(part).startswith(_NOT_KEYS))
        rule = first["msg"].removeprefix("Value error, ")
        fix = "see docs/models.md for the fields"
        raise ModelError(where, field or "description", first["input"], rule=rule, fix=fix) from None


def read(path: str | Path) -> ModelSpec:
    """A specification from a .yaml or .json file."""
    path = Path(path)
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            str(path), rule=f"cannot be read ({error})", fix="give a YAML file or sizes such as 784-512-10"
        ) from None
    try:
        description = parse_json(text) if path.suffix == ".json" else parse_yaml(text)
    except (yaml.YAMLError, ValueError) as error:
        raise ModelError(str(path), rule=f"is not well-formed: {error}", fix="correct the file") from None
    return parse(description, str(path))


def sizes(text: str) -> tuple[int, ...]:
    """(784, 512, 10) from "784-512-10"."""
    parts = text.split("-")
    if len(parts) < 2 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ModelError(
            "model", value=text, rule="must be layer sizes of at least 1 joined by '-', or the path of a YAML file",
            fix="write for example 784-512-10",
        )  # fmt: skip
    return tuple(int(part) for part in parts)
