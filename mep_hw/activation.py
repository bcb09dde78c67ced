"""Activations as the pair (rho, G) with G' = rho^-1, the form an energy needs.

The exact minimiser of G(s) - <s, drive> is s = rho(drive), which is why one layer can be settled in a single step while
its neighbours are held. `Box` covers the hard sigmoid and every clipped linear unit: the state is clamped, the drive is
never gated by rho'. Unbounded units (plain ReLU) are left out on purpose: with symmetric couplings they have no minimum
once a coupling's norm passes 1.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from mep_hw.errors import ModelError


class Activation(ABC):
    """One layer's non-linearity and the energy term that produces it; rho's values lie from `low` to `high`."""

    smooth: bool  # analytic, so that complex states (holomorphic estimator) are possible
    low: float
    high: float

    @abstractmethod
    def rho_(self, drive: Tensor) -> Tensor:
        """rho(drive), computed in place on `drive`."""

    @abstractmethod
    def potential(self, state: Tensor) -> Tensor:
        """G(s) elementwise, finite on the closed range of rho."""

    @abstractmethod
    def inverse(self, state: Tensor) -> Tensor:
        """G'(s) = rho^-1(s) elementwise; infinite at the ends of an open range."""

    def rho(self, drive: Tensor) -> Tensor:
        """rho(drive) as a new tensor."""
        return self.rho_(drive.clone())


@dataclass(frozen=True)
class Box(Activation):
    """s = clamp(gain * drive + offset, low, high); G(s) = (s - offset)^2 / (2 gain)."""

    low: float = 0.0
    high: float = 1.0
    gain: float = 1.0
    offset: float = 0.0
    smooth = False

    def __post_init__(self) -> None:
        if not (-math.inf < self.low < self.high < math.inf and 0 < self.gain < math.inf):
            raise ModelError(
                "activation", "box", f"low {self.low}, high {self.high}, gain {self.gain}",
                rule="needs finite numbers, low < high and gain > 0", fix="use hard_sigmoid for [0, 1]",
            )  # fmt: skip

    def rho_(self, drive: Tensor) -> Tensor:
        if self.gain != 1.0:
            drive.mul_(self.gain)
        if self.offset != 0.0:
            drive.add_(self.offset)
        return drive.clamp_(self.low, self.high)

    def rho(self, drive: Tensor) -> Tensor:
        plain = self.gain == 1.0 and self.offset == 0.0
        return drive.clamp(self.low, self.high) if plain else super().rho(drive)

    def potential(self, state: Tensor) -> Tensor:
        return (state - self.offset).square() / (2 * self.gain)

    def inverse(self, state: Tensor) -> Tensor:
        return (state - self.offset) / self.gain


@dataclass(frozen=True)
class Sigmoid(Activation):
    """Logistic unit; G(s) = s log s + (1 - s) log(1 - s)."""

    smooth = True
    low, high = 0.0, 1.0

    def rho_(self, drive: Tensor) -> Tensor:
        return drive.sigmoid_()

    def potential(self, state: Tensor) -> Tensor:
        return torch.xlogy(state, state) + torch.xlogy(1 - state, 1 - state)

    def inverse(self, state: Tensor) -> Tensor:
        return torch.logit(state)


@dataclass(frozen=True)
class Tanh(Activation):
    """Hyperbolic tangent; G(s) = ((1 + s) log(1 + s) + (1 - s) log(1 - s)) / 2."""

    smooth = True
    low, high = -1.0, 1.0

    def rho_(self, drive: Tensor) -> Tensor:
        return drive.tanh_()

    def potential(self, state: Tensor) -> Tensor:
        return (torch.xlogy(1 + state, 1 + state) + torch.xlogy(1 - state, 1 - state)) / 2

    def inverse(self, state: Tensor) -> Tensor:
        return torch.atanh(state)


NAMED: dict[str, Activation] = {
    "hard_sigmoid": Box(0.0, 1.0),
    "clipped_relu": Box(0.0, 6.0),
    "sigmoid": Sigmoid(),
    "tanh": Tanh(),
}
