"""The fixed-point specification, `spec.json`: what four executables compute, bit for bit, and how it is laid out.

A chain of dense layers 0 (the input) to L (a linear read-out with squared error); every value is a whole number, `bits`
wide in two's complement, `fraction` of them behind the binary point. Layer l has states s_l between its `low` and
`high`, weights W_l (units of l, units of l - 1) come from below, biases b_l are in the format's fraction of s_l.
All layers move at once, s <- clamp(s + 2^-k (drive - s)), in synchronous damped Jacobi steps:

    up_l   = W_l s_{l-1}           in units of 2^-(fraction of W_l + fraction of s_{l-1})
    down_l = W_{l+1}^T s_{l+1}     in units of 2^-(fraction of W_{l+1} + fraction of s_{l+1}); none at the read-out
    total  = b_l + up_l + down_l   exactly, in units of 2^-(f + h), the finest of the three; f is the fraction of s_l
    pull   = round(beta (y - s_L) / 2^beta_fraction)   at the read-out of a nudged phase, else 0
    s_l   <- clamp(s_l + round((total + ((pull - s_l) << h)) / 2^(h + k)), low, high)

round(x / 2^n) is to the nearest, halves upward: (x + 2^(n-1)) >> n with an arithmetic shift, and x for n = 0. A free
phase begins at zero clamped to each layer's range and has `free_steps` steps; phases with +beta and -beta both begin at
the free state and have `nudged_steps` each. up_1 is constant and computed once a sample.

Learning, once a sample, from the states s+ and s- of both nudged phases (s_0 = x in both), row by row, in each row from
the first word of `lanes` weights to the last, and biases word by word:

    W_l[i, j] <- clamp(W_l[i, j] + ((s+_l[i] s+_{l-1}[j] - s-_l[i] s-_{l-1}[j] + r) >> n), least, most)
    b_l[i]    <- clamp(b_l[i] + ((s+_l[i] - s-_l[i] + r) >> m), least, most)

n is `weight_shift` of the coupling, m `bias_shift` of the layer; r are the upper n (or m) bits of the 32-bit shift
register (`mep_hw.fpga.lfsr`) of lane j mod lanes (i mod lanes), which is advanced just before; each coupling and each
layer's biases have registers of their own, and all lanes advance with every word, also those past the last unit.
This is the contrast times lr = 2 beta 2^-e, where n = fraction of s_l + fraction of s_{l-1} + e - fraction of W_l.

Not valid for convolutions, skips, smooth activations or softmax: none of them is specified here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mep_hw.errors import InputError, ModelError
from mep_hw.files import write_atomic

Whole: TypeAlias = NDArray[np.int64]
WORD = 63  # bits of the widest sum: what an int64 holds with a sign and room for a rounding


class Part(BaseModel):
    """A part of a specification: strict, frozen, no unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Format(Part):
    """A signed fixed-point format."""

    bits: int = Field(ge=2, le=32, description="of a value, with its sign")
    fraction: int = Field(ge=0, le=31, description="bits of them behind the binary point")

    @property
    def least(self) -> int:
        return -(1 << (self.bits - 1))

    @property
    def most(self) -> int:
        return (1 << (self.bits - 1)) - 1

    @property
    def step(self) -> float:
        return 2.0**-self.fraction


class Layer(Part):
    """States of one layer, and the format of its biases, whose fraction is that of the states."""

    units: int = Field(ge=1, le=1 << 16)
    state: Format
    low: int = Field(description="lowest state, in units of the format")
    high: int = Field(description="highest state, in units of the format")
    bias_bits: int = Field(ge=2, le=32, description="of a bias; unused in layer 0")

    @model_validator(mode="after")
    def _range_fits(self) -> Layer:
        if self.state.bits > 31:
            raise ValueError("state.bits must be at most 31, for the difference of two products to fit in 63")
        if not self.state.least <= self.low < self.high <= self.state.most:
            raise ValueError(f"low < high must fit in {self.state.bits} bits")
        return self

    @property
    def bias(self) -> Format:
        return Format(bits=self.bias_bits, fraction=self.state.fraction)

    @property
    def rest(self) -> int:
        """Where a free phase begins."""
        return min(max(0, self.low), self.high)


class Learning(Part):
    """The contrastive update on the chip."""

    weight_shift: tuple[int, ...] = Field(description="n of each coupling, 0 to 32")
    bias_shift: tuple[int, ...] = Field(description="m of each layer from 1, 0 to 32")
    seed: int = Field(ge=0, lt=2**64, description="of all shift registers")


class Sums(Part):
    """Bits that hold every sum and partial sum of one layer, proved by `mep_hw.fpga.proof`."""

    up: int = Field(ge=1, le=WORD)
    down: int = Field(ge=0, le=WORD, description="0 at the read-out, which hears nothing from above")
    total: int = Field(ge=1, le=WORD, description="of total + ((pull - s) << h) + the half for rounding")


class Spec(Part):
    """Everything but the weights. `layers` from the input on; couplings and sums from the first layer behind it."""

    schema_: int = Field(default=1, ge=1, le=1, alias="schema")
    name: str
    layers: tuple[Layer, ...] = Field(min_length=2)
    weights: tuple[Format, ...]
    sums: tuple[Sums, ...]
    step_shift: int = Field(ge=0, le=8, description="k: a step is 2^-k time constants")
    free_steps: int = Field(ge=1, le=65535)
    nudged_steps: int = Field(ge=1, le=65535)
    beta: int = Field(ge=1, le=1 << 16, description="nudging strength of a job, in units of 2^-beta_fraction")
    beta_fraction: int = Field(ge=0, le=16)
    lanes: int = Field(ge=1, le=1024, description="P: weights that are read at once")
    nodes: tuple[tuple[int, ...], ...] = Field(description="layers (from 1) of each node, in order")
    learning: Learning | None = None

    @model_validator(mode="after")
    def _is_a_chain(self) -> Spec:
        depth = len(self.layers) - 1
        for field in ("weights", "sums"):
            if len(getattr(self, field)) != depth:
                raise ValueError(f"{field} must have {depth} entries, one for each layer behind the input")
        if [layer for node in self.nodes for layer in node] != list(range(1, depth + 1)) or not all(self.nodes):
            raise ValueError(f"nodes must hold the layers 1 to {depth} in order, each node at least one")
        if self.learning is not None:
            for field in ("weight_shift", "bias_shift"):
                shifts = getattr(self.learning, field)
                if len(shifts) != depth or not all(0 <= n <= 32 for n in shifts):
                    raise ValueError(f"learning.{field} must have {depth} entries from 0 to 32")
        for number, layer in enumerate(self.layers[:-1]):
            if layer.units % self.lanes:
                raise ValueError(f"lanes = {self.lanes} does not divide the {layer.units} units of layer {number}")
        return self

    @property
    def depth(self) -> int:
        return len(self.layers) - 1

    def fractions(self, layer: int) -> tuple[int, int | None]:
        """Of up and of down of `layer` (from 1); None at the read-out."""
        up = self.weights[layer - 1].fraction + self.layers[layer - 1].state.fraction
        if layer == self.depth:
            return up, None
        return up, self.weights[layer].fraction + self.layers[layer + 1].state.fraction

    def headroom(self, layer: int) -> int:
        """h of `layer`: by how many bits its total is finer than its state."""
        up, down = self.fractions(layer)
        return max(up, down or 0, self.layers[layer].state.fraction) - self.layers[layer].state.fraction

    def shifts(self, layer: int) -> tuple[int, int, int]:
        """Left shifts that bring bias, up and down of `layer` to the units of its total; down is 0 at the read-out."""
        up, down = self.fractions(layer)
        head = self.headroom(layer)
        common = head + self.layers[layer].state.fraction
        return head, common - up, 0 if down is None else common - down

    def to_json(self) -> str:
        return json.dumps(self.model_dump(mode="json", by_alias=True), indent=2) + "\n"

    def save(self, path: str | Path) -> None:
        """Write `spec.json`, atomically."""
        write_atomic(path, self.to_json().encode())


@dataclass(frozen=True)
class Values:
    """Whole-number weights, (units of l, units of l - 1) per coupling, and biases, (units of l,), int64."""

    weights: tuple[Whole, ...]
    biases: tuple[Whole, ...]

    def check(self, spec: Spec) -> None:
        """Raises ModelError for arrays of another shape, or with numbers beyond their formats."""
        for l in range(1, spec.depth + 1):
            shape = spec.layers[l].units, spec.layers[l - 1].units
            _require(f"weights of layer {l}", self.weights[l - 1], shape, spec.weights[l - 1])
            _require(f"biases of layer {l}", self.biases[l - 1], shape[:1], spec.layers[l].bias)


def load(path: str | Path) -> Spec:
    """Read a `spec.json`.

    Raises:
        InputError: there is none, or it breaks a rule of the format; names the field.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(str(path), rule=f"cannot be read ({error})", fix="name a spec.json of an export") from None
    try:
        return Spec.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "spec"
        given: Any = first["input"] if isinstance(first["input"], int | float | str | bool) else "its value"
        rule = first["msg"].removeprefix("Value error, ")
        raise InputError(str(path), field, given, rule=rule, fix="export the model anew") from None


def as_whole(values: Sequence[Any]) -> tuple[Whole, ...]:
    return tuple(np.asarray(value, dtype=np.int64) for value in values)


def _require(name: str, value: Whole, shape: tuple[int, ...], form: Format) -> None:
    if value.shape != shape or value.dtype != np.int64:
        found = f"{value.dtype} {value.shape}"
        raise ModelError("fpga", name, found, rule=f"must be int64 of the shape {shape}", fix="quantise the model")
    if value.size and not form.least <= int(value.min()) <= int(value.max()) <= form.most:
        worst = max(int(value.max()), -int(value.min()) - 1)
        rule = f"must fit in {form.bits} bits, and {worst.bit_length() + 1} are needed"
        raise ModelError("fpga", name, worst, rule=rule, fix="take more bits or fewer of them behind the point")
