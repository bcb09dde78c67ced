"""The whole-number arithmetic of `mep_hw.loihi.network` for whole batches, in the process, without Lava.

Whole numbers are kept as float64, whose products and sums are exact below 2^53, because libraries multiply matrices of
floats fast and those of integers slowly. Nothing here comes near: accumulators have 32 bits.

A state that an update leaves as it was stays so, and the rest of the phase is left out. That changes no result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mep_hw.loihi.network import Curve, Population
from mep_hw.state import State


@dataclass(frozen=True)
class Arithmetic:
    """Numbers of a fixed-point network that hold for all its populations, see `mep_hw.loihi.network.Network`."""

    step_shift: int
    payload_shift: int
    payload_limit: int
    beta_fraction: int


class Unit:
    """One population: how it moves and what it sends, for tensors (rows, *shape) of whole numbers in float64."""

    def __init__(self, population: Population, shape: Sequence[int], arithmetic: Arithmetic) -> None:
        assert population.low is not None and population.high is not None  # always given in fixed point
        self.low, self.high, self.shift, self.arithmetic = population.low, population.high, population.shift, arithmetic
        self.total = population.shift + arithmetic.step_shift
        self.curve = None if population.curve is None else Lookup(population.curve)
        self.hold(torch.as_tensor(population.bias, dtype=torch.float64).view(*shape))

    def hold(self, bias: Tensor) -> None:
        """Take other biases, (*shape); every drive also gets the half by which rounding down becomes to the nearest."""
        self.added = bias[None] * 2.0**self.shift + (2.0 ** (self.total - 1) if self.total else 0.0)

    def state(self, value: Tensor) -> Tensor:
        """What the unit's membrane stands for: itself, or rho of it."""
        return value if self.curve is None else self.curve(value)

    def sent(self, value: Tensor) -> Tensor:
        numbers = self.arithmetic
        limit = numbers.payload_limit
        return rounded(self.state(value), numbers.payload_shift).clamp(-limit, limit - 1)

    def moved(self, value: Tensor, drive: Tensor, pull: Tensor | None) -> Tensor:
        """The state after one update; `drive` has `added` in it and is used up."""
        drive.sub_(value, alpha=2**self.shift)
        if pull is not None:
            drive.add_(pull, alpha=2**self.shift)
        return drive.mul_(2.0**-self.total).floor_().add_(value).clamp_(self.low, self.high)


class Lookup:
    """rho of smooth units by a table, see `mep_hw.loihi.network.Curve`."""

    def __init__(self, curve: Curve) -> None:
        assert curve.values is not None  # always given in fixed point
        self.values = torch.as_tensor(curve.values, dtype=torch.float64)
        self.rises = self.values.diff()
        self.step_bits = curve.step_bits
        self.last = (len(self.rises) << curve.step_bits) - 1

    def __call__(self, value: Tensor) -> Tensor:
        place = (value + (self.last + 1) // 2).clamp_(0, self.last)
        piece = (place * 2.0**-self.step_bits).floor_()
        rest = place - piece * 2**self.step_bits
        index = piece.long()
        return self.values[index] + rounded(self.rises[index] * rest, self.step_bits)


def rounded(value: Tensor, bits: int) -> Tensor:
    """To the nearest whole multiple of 2^bits, halves upward, in units of it."""
    return (value * 2.0**-bits).add_(0.5).floor_() if bits else value


def run(
    units: Sequence[Unit],
    couple: Callable[[list[Tensor], list[Tensor]], list[Tensor]],
    static: Sequence[Tensor],
    start: State,
    beta: Tensor | None,
    target: Tensor | None,
    steps: int,
    watch: Callable[[State], None] | None = None,
) -> tuple[State, State]:
    """So many updates of all populations at once; the state after the last one, and before it.

    Args:
        couple: from what all populations send and what they get besides to their drives, as new tensors.
        static: what the input sends to each population, (rows, *shape) or (1, *shape).
        start: membranes (rows, *shape).
        beta, target: (rows, 1) and (rows, outputs), None in a free phase.
        watch: told the membranes after every update.
    """
    fixed = [drive + unit.added for drive, unit in zip(static, units, strict=True)]
    state = earlier = list(start)
    for _ in range(steps):
        drives = couple([unit.sent(value) for unit, value in zip(units, state, strict=True)], fixed)
        pull = None
        if beta is not None and target is not None:
            pull = rounded(beta * (target - state[-1]), units[-1].arithmetic.beta_fraction)
        pulls = [None] * (len(units) - 1) + [pull]
        earlier = state
        state = [unit.moved(v, d, p) for unit, v, d, p in zip(units, earlier, drives, pulls, strict=True)]
        if watch is not None:
            watch(state)
        elif all(torch.equal(new, old) for new, old in zip(state, earlier, strict=True)):
            break
    return state, earlier
