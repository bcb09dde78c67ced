"""Models with settled states in float64, the reference of every kernel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from helpers import machine
from torch import Tensor

import mep_hw
from mep_hw.model import Model
from mep_hw.state import Nudge, Settled
from mep_hw.substrates.base import Substrate

BETA = 0.1
OUTPUTS = 5
EXACT = {"settle__anderson": 0, "settle__free_sweeps": 400, "settle__nudged_sweeps": 400}
PLACE = torch.device("cuda" if torch.cuda.is_available() else "cpu")  # where kernels run
WHOLE = {"gpu__operands": "fp32"}  # on a GPU too: tests compare with float64, and tell rounding from faults
TIGHT = EXACT | {"settle__tolerance": 1e-6, "settle__nudged_tolerance": 1e-5}


@dataclass(frozen=True)
class Case:
    """A model in float32, a batch, and its free state and both nudged ones by the cpu machine in float64."""

    model: Model
    x: Tensor
    nudge: Nudge
    free: Settled
    nudged: Settled

    def on(self, place: torch.device) -> tuple[Tensor, Nudge]:
        """The batch and the nudge where a machine wants them."""
        return self.x.to(place), Nudge(self.nudge.beta.to(place), self.nudge.target.to(place))


def both(built: Substrate, wanted: Case) -> tuple[Settled, Settled]:
    """The free and the nudged phase of a machine."""
    x, nudge = wanted.on(built.torch_device)
    free = built.settle(x)
    return free, built.settle(x, nudge, free)


def case(model: Model, batch: int, seed: int = 0) -> Case:
    generator = torch.Generator().manual_seed(seed)
    for bias in model.biases:
        if bias is not None:
            bias.copy_(0.2 * torch.randn(bias.shape, generator=generator))
    x = torch.rand(batch, *model.input_shape, generator=generator)
    y = torch.eye(OUTPUTS)[torch.randint(OUTPUTS, (batch,), generator=generator)]
    beta = torch.full((2 * batch,), BETA)
    beta[batch:] *= -1
    wide = machine(
        model, compute__dtype="float64", **EXACT, settle__tolerance=1e-13, settle__nudged_tolerance=1e-12
    )  # fmt: skip
    free = wide.settle(x.double())
    nudged = wide.settle(x.double(), Nudge(beta.double(), y.double()), free)
    return Case(model, x, Nudge(beta, y), free, nudged)


def chain(*hidden: int, activation: str = "hard_sigmoid", cost: str = "squared_error", seed: int = 0) -> Model:
    return mep_hw.mlp(7, *hidden, OUTPUTS, activation=activation, cost=cost, seed=seed)  # pyright: ignore


def off(found: Settled, wanted: Settled) -> float:
    """Largest distance of any layer or the output, relative to its norm."""
    pairs = zip((*found.state, found.output), (*wanted.state, wanted.output), strict=True)
    return max(float((a.double().cpu() - b).norm() / b.norm().clamp_min(1e-6)) for a, b in pairs)
