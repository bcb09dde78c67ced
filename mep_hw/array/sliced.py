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

from torch import Tensor

from mep_hw.array.bank import Bank
from mep_hw.array.converters import FREE, Phase
from mep_hw.array.holder import Composite, Found
from mep_hw.schedule.cost import Cost
from mep_hw.schedule.ir import Cell, Cycle


class Sliced(Composite):
    """Banks, all made alike, that hold weights (out, in) together, the most significant one first.

    base: how much less significant each is than the one before it.
    """

    def __init__(self, banks: Sequence[Bank], base: float) -> None:
        super().__init__({f"slice.{k}": bank for k, bank in enumerate(banks)})
        self.banks = list(banks)
        self.significance = [base**-k for k in range(len(self.banks))]

    @property
    def weights(self) -> Tensor:
        return self._sum([bank.weights for bank in self.banks])

    @property
    def held(self) -> Tensor:
        return self._sum([bank.held for bank in self.banks])

    def product(self, states: Tensor, phase: Phase = FREE) -> Tensor:
        return self._sum([bank.product(states, phase) for bank in self.banks])

    def product_transposed(self, states: Tensor, phase: Phase = FREE) -> Tensor:
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
        for bank in self.banks:
            bank.gain = 1.0
        return self.verify(Cell(weights - self.weights, tolerance, iterations)) + self.show(solve=True)

    def takes(self) -> tuple[type, ...]:
        return (Cell,)

    def cycle(self, cycle: Cycle) -> Found:
        if not isinstance(cycle, Cell):
            raise TypeError(f"slices do not execute {type(cycle).__name__}")
        return None, self.verify(cycle)

    def _sum(self, parts: list[Tensor]) -> Tensor:
        """The parts of all slices, by their significance; the first is overwritten."""
        total = parts[0]
        for part, significance in zip(parts[1:], self.significance[1:], strict=True):
            total.add_(part, alpha=significance)
        return total
