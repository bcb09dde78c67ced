"""Weights over several arrays of falling significance: w = sum_k w_k / base^k.

Each slice is a bank of its own with the range and the converters of its card, so that its errors count by its
significance. Partial results are scaled and added as digital numbers. Writing goes from the most significant slice to
the least: each takes what a read of the ones before it, averaged, shows to be missing. The error that is left is that
of the last slice over base^(n-1), as long as a slice can hold what the one before it misses: base must be below the
range of a cell over the error of writing it.

Not valid for pulses without verification: nobody knows then what a slice missed. The errors of reads do not fall: those
of the first slice stay, and those of the others are added to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add

import torch
from torch import Tensor

from mep_hw.array.bank import Bank
from mep_hw.array.converters import FREE, Phase
from mep_hw.schedule.cost import Cost, known_max
from mep_hw.schedule.ir import Cell


class Sliced:
    """Banks, all made alike, that hold weights (out, in) together, the most significant one first.

    base: how much less significant each is than the one before it.
    """

    def __init__(self, banks: Sequence[Bank], base: float) -> None:
        self.banks = list(banks)
        self.significance = [base**-k for k in range(len(self.banks))]

    @property
    def weights(self) -> Tensor:
        """What the cells stand for, (out, in), without the noise of a read."""
        return self._sum([bank.weights for bank in self.banks])

    @property
    def held(self) -> Tensor:
        """The weights with the gains of their drives."""
        return self._sum([bank.held for bank in self.banks])

    def product(self, states: Tensor, phase: Phase = FREE) -> Tensor:
        """Drives (batch, out) from states (batch, in)."""
        return self._sum([bank.product(states, phase) for bank in self.banks])

    def product_transposed(self, states: Tensor, phase: Phase = FREE) -> Tensor:
        """Drives (batch, in) from states (batch, out)."""
        return self._sum([bank.product_transposed(states, phase) for bank in self.banks])

    def verify(self, cycle: Cell) -> Cost:
        """Write and verify slice by slice, each to the tolerance of the cycle in its own weights."""
        missing = self.weights + cycle.change.flatten(1)
        done: list[Cost] = []
        for bank, significance in zip(self.banks, self.significance, strict=True):
            change = missing / significance - bank.weights
            done.append(bank.verify(Cell(change, cycle.tolerance, cycle.iterations)))
            found, cost = bank.measured()
            done.append(cost)
            missing = missing - significance * found
        return reduce(add, done)

    def write(self, weights: Tensor, tolerance: float, iterations: int) -> Cost:
        """Programming, see `Bank.write`."""
        for bank in self.banks:
            bank.gain = 1.0
        return self.verify(Cell(weights - self.weights, tolerance, iterations)) + self.show(solve=True)

    @property
    def counted(self) -> Tensor:
        """Pulses of the cells of all slices, see `Bank.counted`."""
        return torch.stack([bank.counted for bank in self.banks])

    def show(self, solve: bool = False) -> Cost:
        """Let products see what the cells hold now, see `Bank.show`."""
        return reduce(add, [bank.show(solve) for bank in self.banks])

    def tick(self) -> None:
        """Let the time of one weight update pass."""
        for bank in self.banks:
            bank.tick()

    def wait(self, seconds: float, compensate: bool) -> None:
        """Let time pass; each slice is compensated by itself, see `Bank.wait`."""
        for bank in self.banks:
            bank.wait(seconds, compensate)

    def wear(self) -> float | None:
        """Wear of the most used cell, see `Bank.wear`."""
        return known_max(bank.wear() for bank in self.banks)

    def wire_error(self) -> float:
        """The largest of the slices', see `Tile.wire_error`."""
        return max(bank.wire_error() for bank in self.banks)

    def snapshot(self) -> dict[str, Tensor]:
        """What all slices need to go on from bit for bit."""
        banks = enumerate(self.banks)
        return {f"slice.{k}.{name}": value for k, bank in banks for name, value in bank.snapshot().items()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Go back to a `snapshot` of slices that were made with the same arguments and seed."""
        for k, bank in enumerate(self.banks):
            start = f"slice.{k}."
            bank.restore({name.removeprefix(start): v for name, v in tensors.items() if name.startswith(start)})

    def _sum(self, parts: list[Tensor]) -> Tensor:
        """The parts of all slices, by their significance; the first is overwritten."""
        total = parts[0]
        for part, significance in zip(parts[1:], self.significance[1:], strict=True):
            total.add_(part, alpha=significance)
        return total
