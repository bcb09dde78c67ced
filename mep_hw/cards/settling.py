"""How a machine computes and settles: number format and place, stopping rules, and the kernels of a GPU."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, field_validator, model_validator

from mep_hw.cards.blocks import Block, Text


class Compute(Block):
    """Number format and place of the arithmetic."""

    dtype: Literal["float32", "float64"] = Field(description="number format of states and weights")
    torch_device: Text = Field(default="cpu", description="torch device string, used inside substrates only")

    @field_validator("torch_device")
    @classmethod
    def _known_to_torch(cls, name: str) -> str:
        try:
            torch.device(name)
        except RuntimeError:
            raise ValueError("must be a device of torch, such as cpu or cuda:0") from None
        return name


class SettleOptions(Block):
    """How long and how closely the substrate settles. States have no unit; a box activation keeps them in [0, 1]."""

    free_sweeps: int = Field(ge=1, description="most sweeps over all layers in the free phase")
    nudged_sweeps: int = Field(ge=1, description="most sweeps over all layers in a nudged phase")
    tolerance: float = Field(
        ge=0,
        description="largest change of a sample's state in one sweep, in state units, at which its free phase stops; "
        "0 never checks and always runs free_sweeps",
    )
    nudged_tolerance: float = Field(
        ge=0, description="the same for the nudged phase, as a multiple of |beta|; 0 always runs nudged_sweeps"
    )
    over_relaxation: float = Field(
        default=1.0,
        ge=1,
        lt=2,
        description="how far a visit of the free phase takes a layer, as a multiple of the way to its minimum; 1 goes "
        "just there; substrates that integrate know only 1",
    )
    anderson: int = Field(default=0, ge=0, description="memory depth of Anderson acceleration, in sweeps; 0 is off")
    euler_step: float | None = Field(
        default=None, gt=0, le=1, description="dt / tau of substrates that integrate the ODE, no unit; null elsewhere"
    )
    average: int = Field(
        default=0, ge=0, description="steps over which states are averaged after settling, where reads are noisy"
    )

    @model_validator(mode="after")
    def _integrators_visit_no_layers(self) -> SettleOptions:
        if self.euler_step is not None and self.over_relaxation != 1:
            raise ValueError("over_relaxation must be 1 where there is an euler_step, as no layer is visited by itself")
        return self


class GpuOptions(Block):
    """How the kernels of a GPU run."""

    operands: Literal["fp32", "tf32", "bf16"] = Field(
        description="number format in which products take their operands; states and sums are in compute.dtype"
    )
    path: Literal["auto", "fused", "graph"] = Field(
        description="how phases settle: one kernel a phase, captured library products, or by the size of the batch"
    )
    fused_batch: int = Field(ge=1, description="largest batch that path auto gives to the fused kernel, in samples")
    fused_width: int = Field(ge=1, description="widest layer that path auto gives to the fused kernel, in units")
