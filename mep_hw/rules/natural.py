"""Natural gradient with a Kronecker-factored Fisher matrix, from states that the coupling's two ends see anyway.

    A <- decay A + (1 - decay) mean(before before^T),   S <- decay S + (1 - decay) mean(after after^T)
    update = lr (S + damping s I)^-1 contrast (A + damping a I)^-1,   shortened to length `trust` lr
    s, a: largest mean of the diagonals of S and A seen so far

(Martens and Grosse 2015, arXiv 1503.05671; with convolutions every position counts as a sample.) `after` holds each
sample's own signal, so S is the empirical Fisher of the labels; both factors are local, but inverting them is digital
work of order out^3 + in^3, done every `every` steps. The length is measured as the root mean square of
the change that the update makes to the drive. Near a perfect fit S vanishes with the signals; damping by its largest
value lets the updates vanish as well, where damping by the present one would go on blowing up their noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mep_hw.errors import DivergenceError
from mep_hw.outersum import Update, dense
from mep_hw.ranges import BELOW_ONE, COUNT, POSITIVE, require
from mep_hw.rules.adam import BIAS_LR, Adam
from mep_hw.rules.base import Memory, Rule
from mep_hw.state import LocalStates


@dataclass(frozen=True)
class Natural(Rule):
    """momentum and decay in [0, 1), damping and trust > 0, every >= 1.

    Raises:
        InputError: a number out of range.
    """

    momentum: float = 0.9
    decay: float = 0.95
    damping: float = 3.0
    trust: float = 1.0
    every: int = 10
    name = "natural"
    bias_lr = BIAS_LR
    needs_states = True

    def __post_init__(self) -> None:
        require("rule natural", "momentum", self.momentum, BELOW_ONE, "0.9 is usual")
        require("rule natural", "decay", self.decay, BELOW_ONE, "0.95 is usual")
        require("rule natural", "damping", self.damping, POSITIVE, "3 is a good start")
        require("rule natural", "trust", self.trust, POSITIVE, "1 is a good start")
        require("rule natural", "every", self.every, COUNT, "10 is a good start")

    def init(self, shape: tuple[int, ...], generator: torch.Generator, dtype: torch.dtype) -> Memory:
        place, sides = generator.device, (shape[0], math.prod(shape[1:]))
        memory = {"m": torch.zeros(shape, dtype=dtype, device=place), "t": torch.zeros((), dtype=torch.int64)}
        for key, side in zip("sa", sides, strict=True):
            memory[key] = torch.zeros(side, side, dtype=dtype, device=place)
            memory[f"{key}.inverse"] = torch.eye(side, dtype=dtype, device=place)
            memory[f"{key}.peak"] = torch.zeros((), dtype=dtype, device=place)
        return memory

    def step(
        self,
        contrast: Update,
        memory: Memory,
        *,
        lr: float,
        weights: Tensor | None = None,
        states: LocalStates | None = None,
    ) -> tuple[Update, Memory]:
        assert states is not None  # needs_states
        t = int(memory["t"])
        new: Memory = {"t": memory["t"] + 1}
        correction = 1 - self.decay ** (t + 1)
        for key, rows in (("s", states.after), ("a", states.before)):
            second = rows.T @ rows / len(rows)
            new[key] = torch.lerp(memory[key], second, 1 - self.decay)
            moment = new[key] / correction
            new[f"{key}.peak"] = torch.maximum(memory[f"{key}.peak"], moment.diagonal().mean())
            stale = memory[f"{key}.inverse"]
            new[f"{key}.inverse"] = stale if t % self.every else _inverse(moment, self.damping * new[f"{key}.peak"])
        velocity = torch.lerp(memory["m"], dense(contrast), 1 - self.momentum)
        new["m"] = velocity
        direction = new["s.inverse"] @ (velocity / (1 - self.momentum ** (t + 1))).flatten(1) @ new["a.inverse"]
        # How far the drive of a unit moves for a typical sample: sqrt(mean |direction x|^2 / out).
        moved = ((direction @ (new["a"] / correction)) * direction).sum().clamp_min(0).div(len(direction)).sqrt()
        shortened = direction * (self.trust / moved.clamp_min(self.trust))
        return (shortened * lr).view_as(velocity), new

    def for_biases(self) -> Rule:
        return Adam()


def _inverse(moment: Tensor, floor: Tensor) -> Tensor:
    """(moment + floor I)^-1; the identity where there was no signal yet."""
    floor = torch.where(floor > 0, floor, torch.ones_like(floor))
    damped = moment + floor * torch.eye(len(moment), dtype=moment.dtype, device=moment.device)
    factor, failed = torch.linalg.cholesky_ex(damped)
    if int(failed):
        raise DivergenceError(
            "rule natural",
            "moments",
            "not positive",
            rule="hold NaN or overflow",
            fix="scale the inputs to about [0, 1]",
        )
    return torch.cholesky_inverse(factor)
