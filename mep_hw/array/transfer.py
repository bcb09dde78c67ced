"""Training on asymmetric cells by two arrays: a fast one takes every update, a slow one what comes of it.

With A and C for the fast and the slow array, c_i = +1 or -1 the sign in which word line i of A is held, and dw the step
of C by one pulse, products are those of C + gamma A, and

    every update          A_i += c_i u_i                       outer products of pulses, as they come
    every n of them       y = c_i A_i, by reads of a line i, each line in its turn
      without a buffer    C_i += n dw,   n = whole(gain y / dw)                rounded at random, right in the mean
      with one of size b  H_i += gain y,   n = trunc(H_i / (b dw)),   C_i += n dw,   H_i -= n b dw
      chopper             c_i -> -c_i with probability `chop`

A's zero is each cell's symmetry point (`symmetric`). Asymmetric cells forget towards it with every pulse, so that A
holds a recent mean of the gradient and comes to rest only where that vanishes, while on C alone the drift of asymmetric
pulses would come to rest against a gradient that does not. A wrong zero makes lines drift for ever; the chopper turns
that into a drift of random sign. Sources: Gokmen and Haensch, Front. Neurosci. 14, 103 (2020), without the buffer;
Gokmen, Front. Artif. Intell. 4, 699148 (2021), with it, where a transfer is one pulse at most and here is as many as
are due; choppers: Rasch, Carta, Fagbohungbe and Gokmen, Nat. Commun. 15, 7133 (2024).

Not valid for cells that forget much of a line between two of its transfers, and for A and C of different devices. As
A's lines keep what was transferred, gains are small or A forgets quickly; else C overshoots, like with much momentum.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mep_hw.array.bank import Bank
from mep_hw.array.converters import FREE, Phase
from mep_hw.array.holder import Composite, Found
from mep_hw.array.scale import pulse_step
from mep_hw.array.symmetric import Symmetric
from mep_hw.cards.transfer import TransferOptions
from mep_hw.schedule.cost import Cost
from mep_hw.schedule.ir import Cycle, Outer, Row, Transfer
from mep_hw.schedule.rounding import whole


class Transferring(Composite):
    """Two banks of one shape and card, (out, in)."""

    def __init__(self, fast: Symmetric, slow: Bank, options: TransferOptions) -> None:
        super().__init__({"fast": fast, "slow": slow})
        self.fast, self.slow, self.options = fast, slow, options
        self.step = pulse_step(slow.options, slow.device)
        shape, place = slow.cells.shape[1:], slow.cells.generator.device
        self.buffer = torch.zeros(shape, dtype=slow.dtype, device=place)
        self.signs = torch.ones(shape[1], dtype=torch.int8, device=place)
        self.next = 0  # word line

    @property
    def weights(self) -> Tensor:
        return self._sum(self.slow.weights, self.fast.weights)

    @property
    def held(self) -> Tensor:
        return self._sum(self.slow.held, self.fast.held)

    def product(self, states: Tensor, phase: Phase = FREE) -> Tensor:
        slow = self.slow.product(states, phase)  # a hidden fast array is not read
        return self._sum(slow, self.fast.product(states, phase)) if self.options.gamma else slow

    def product_transposed(self, states: Tensor, phase: Phase = FREE) -> Tensor:
        slow = self.slow.product_transposed(states, phase)
        return self._sum(slow, self.fast.product_transposed(states, phase)) if self.options.gamma else slow

    def pulse(self, trains: Outer) -> Cost:
        """Pulse the fast array, each word line in its sign."""
        return self.fast.pulse(replace(trains, words=trains.words * self.signs))

    def transfer(self, cycle: Transfer) -> Cost:
        """Transfer the next word lines, one after the other."""
        cost, count = Cost.none(), len(self.signs)
        for _ in range(min(cycle.lines, count)):
            cost += self._line(self.next)
            self.next = (self.next + 1) % count
        return cost

    def write(self, weights: Tensor, tolerance: float, iterations: int) -> Cost:
        """Programming to `weights` (out, in): the fast array finds its zeros, and the slow one is verified."""
        self.fast.gain = 1.0
        self.buffer.zero_()
        self.signs.fill_(1)
        self.next = 0
        found = self.fast.find_zero(self.options.pairs)
        return found + self.slow.write(weights - self.options.gamma * self.fast.weights, tolerance, iterations)

    def takes(self) -> tuple[type, ...]:
        return (Outer, Transfer)

    def cycle(self, cycle: Cycle) -> Found:
        match cycle:
            case Outer():
                return None, self.pulse(cycle)
            case Transfer():
                return None, self.transfer(cycle)
            case _:
                raise TypeError(f"a fast and a slow array do not execute {type(cycle).__name__}")

    def snapshot(self) -> dict[str, Tensor]:
        own = {"buffer": self.buffer.clone(), "signs": self.signs.clone(), "next": torch.tensor(self.next)}
        return super().snapshot() | own

    def restore(self, tensors: dict[str, Tensor]) -> None:
        super().restore(tensors)
        self.buffer, self.signs = tensors["buffer"].clone(), tensors["signs"].clone()
        self.next = int(tensors["next"])

    def _line(self, line: int) -> Cost:
        options, generator = self.options, self.slow.cells.generator
        found, cost = self.fast.line(line, options.reads)
        moved = options.gain * found * self.signs[line]
        if options.buffer is None:
            pulses = whole(moved / self.step, generator)
        else:
            unit = options.buffer * self.step
            waiting = self.buffer[:, line] + moved
            pulses = (waiting / unit).trunc()
            self.buffer[:, line] = waiting - pulses * unit
        written = torch.zeros(self.buffer.shape, dtype=torch.int32, device=self.buffer.device)
        written[:, line] = pulses.int()
        cost += self.slow.pulse(Row(written))
        if options.chop and float(torch.rand((), generator=generator, device=generator.device)) < options.chop:
            self.signs[line] *= -1
        return cost

    def _sum(self, slow: Tensor, fast: Tensor) -> Tensor:
        return slow + self.options.gamma * fast
