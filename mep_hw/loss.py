"""Read-outs: what the last layer computes, how it is nudged, and the loss it stands for.

`signal` is what the last layer shows to the rest of the model: it is sent back through the read-out coupling and enters
the local product. For `squared_error` the read-out is an ordinary linear layer of the energy, and its nudged state is
the exact minimiser of s^2/2 - s drive + beta (s - y)^2 / 2. For `cross_entropy` the read-out is not part of the energy:
the loss is a function of the last hidden layer, the signal is the error current beta (y - softmax(drive)), and it is
zero in the free phase (Laborieux et al. 2021, section 3.2, arXiv 2006.03824).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Loss(ABC):
    """Loss and read-out of a model. `drive` and `target` have shape (batch, outputs), `beta` (batch, 1)."""

    name: str
    in_energy: bool  # the read-out is a state of the energy and is sent back in the free phase too

    @abstractmethod
    def signal(self, drive: Tensor, beta: Tensor | None, target: Tensor | None) -> Tensor:
        """Value that the read-out layer takes; `beta` None is the free phase."""

    @abstractmethod
    def of(self, output: Tensor, target: Tensor) -> Tensor:
        """Per-sample loss (batch,) of the read-out's output."""


class SquaredError(Loss):
    """C = |o - y|^2 / 2 with a linear read-out o inside the energy."""

    name = "squared_error"
    in_energy = True

    def signal(self, drive: Tensor, beta: Tensor | None, target: Tensor | None) -> Tensor:
        if beta is None or target is None:
            return drive
        return torch.addcmul(drive, beta, target) / (1 + beta)

    def of(self, output: Tensor, target: Tensor) -> Tensor:
        return (output - target).square().sum(1) / 2


class CrossEntropy(Loss):
    """C = -sum_k y_k log softmax(o)_k with o = W s + b outside the energy; targets are probabilities."""

    name = "cross_entropy"
    in_energy = False

    def signal(self, drive: Tensor, beta: Tensor | None, target: Tensor | None) -> Tensor:
        if beta is None or target is None:
            return torch.zeros_like(drive)
        # Subtracting the real maximum keeps exp finite and is exact for complex drives as well.
        shifted = drive - drive.real.amax(1, keepdim=True)
        odds = shifted.exp()
        return beta * (target - odds / odds.sum(1, keepdim=True))

    def of(self, output: Tensor, target: Tensor) -> Tensor:
        return -(target * torch.log_softmax(output, 1)).sum(1)


LOSSES: dict[str, Loss] = {loss.name: loss for loss in (SquaredError(), CrossEntropy())}
