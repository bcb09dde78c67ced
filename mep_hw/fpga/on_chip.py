"""Learning on the chip: the update after every sample, with shift registers that go on from one to the next."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mep_hw.errors import CapabilityError
from mep_hw.fpga import native
from mep_hw.fpga.lfsr import seeded
from mep_hw.fpga.oracle import States
from mep_hw.fpga.spec import Spec, Values, Whole


class OnChip:
    """The shift registers of a chip that learns.

    Args:
        couplings, layers: from 1: whose weights and whose biases learn. A chip has no switch for that; only the
            control of an experiment leaves some out, and their registers stay where they are.
    """

    def __init__(self, spec: Spec, couplings: Sequence[int], layers: Sequence[int]) -> None:
        self.couplings, self.layers = tuple(couplings), tuple(layers)
        self.registers = [*seeded(spec)]

    def update(self, spec: Spec, values: Values, x: Whole, plus: States, minus: States) -> Values:
        """The values after one sample (1, units), from its states after the phases with +beta and -beta."""
        weights, biases = [*values.weights], [*values.biases]
        up, low, drawn = (x, *plus), (x, *minus), self.registers
        for c in self.couplings:
            ends = up[c], up[c - 1], low[c], low[c - 1]
            weights[c - 1], drawn[c - 1] = native.learned(spec, c, weights[c - 1], drawn[c - 1], ends)
        for n in self.layers:
            place = spec.depth + n - 1
            biases[n - 1], drawn[place] = native.learned_bias(spec, n, biases[n - 1], drawn[place], up[n], low[n])
        return Values(tuple(weights), tuple(biases))

    def tensors(self) -> dict[str, Tensor]:
        """What a resumed run needs to go on bit for bit."""
        return {f"shift_registers.{n}": torch.from_numpy(value.copy()) for n, value in enumerate(self.registers)}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Go back to `tensors`."""
        self.registers = [tensors[f"shift_registers.{n}"].numpy().copy() for n in range(len(self.registers))]


def halvings(beta: float, lr: float, what: str) -> int:
    """e of the learning rate 2 beta 2^-e.

    Raises:
        CapabilityError: another rate; names the nearest.
    """
    exact = math.log2(2 * beta / lr)
    if exact != round(exact):
        nearest = 2 * beta * 2.0 ** -round(exact)
        rule = f"must be {2 * beta:g} (2 beta) times a power of two where the chip learns, as it shifts"
        raise CapabilityError("fpga", what, f"{lr:g}", rule=rule, fix=f"take {nearest:g}")
    return round(exact)
