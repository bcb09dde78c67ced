"""Cells that count from their symmetry points: where an up pulse and a down pulse undo each other.

Alternating pulses bring a cell there, by a share of (up slope + down slope) of its distance with each pair; a reference
cell then takes the weight over, so that what is read is 0 there (zero shifting, Kim et al., arXiv 1907.10228). Noisy
cells wander about the point, so reads are spread over the second half of the pairs and averaged; as reads go through
the converters, their offsets are in the zero, too. References are ideal.

Not valid for cells of constant steps, which have no such point. Wires, and noise in proportion to the conductance, are
refused: they depend on the conductance of the reference cell, which is not modelled.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mep_hw.array.bank import READS, Bank
from mep_hw.array.driven import Driven
from mep_hw.array.drivers import Drivers
from mep_hw.array.scale import takes_pulses
from mep_hw.array.spent import Spent, of_outer
from mep_hw.cards.array import ArrayOptions
from mep_hw.cards.schema import DeviceCard
from mep_hw.errors import CapabilityError
from mep_hw.schedule.cost import Cost


class Symmetric(Bank):
    """A bank whose weights are differences from `zero`, (out, in) in the model's weights.

    Arguments are those of `Bank`.

    Raises:
        CapabilityError: cells without a symmetry point, or an effect of conductances.
    """

    def __init__(
        self,
        options: ArrayOptions,
        device: DeviceCard,
        shape: tuple[int, int],
        generator: torch.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        check_symmetric(options, device)
        self.zero = torch.zeros(shape, dtype=dtype, device=generator.device)
        super().__init__(options, device, shape, generator, dtype)

    @property
    def weights(self) -> Tensor:
        """What the cells stand for less their zeros, (out, in), without the noise of a read."""
        return super().weights - self.zero

    def find_zero(self, pairs: int) -> Cost:
        """Bring all cells to their symmetry points by `pairs` of an up and a down pulse, and count from there; with 0
        pairs from where they are meant to be in the middle of their range, unmoved."""
        self.zero = torch.zeros_like(self.zero)
        cost, found, done = alternate(self.drivers, pairs // 2).cost(), list[Tensor](), pairs // 2
        everything = torch.ones(len(self.drivers.layout.bits), self.cells.shape[2])
        looks = min(READS, pairs - done)
        for left in range(looks, 0, -1):
            some = (pairs - done) // left
            cost += alternate(self.drivers, some).cost() + self.drivers.read(everything).cost()
            self._present(solve=False)
            found.append(self.signal(1).T)
            done += some
        if found:
            self.zero = torch.stack(found).mean(0)
        cost += self.show(solve=True)
        self._first = self.cells.pulses.clone()
        return cost

    def line(self, number: int, reads: int) -> tuple[Tensor, Cost]:
        """The mean of `reads` reads of one word line, (out,), and what they took."""
        self._present(solve=False)
        driven = torch.zeros(1, self.cells.shape[2], dtype=self.dtype, device=self.zero.device)
        driven[0, number] = 1
        found = torch.cat([self.product(driven) for _ in range(reads)]).mean(0)
        times = torch.zeros(len(self.drivers.layout.bits), self.cells.shape[2])
        times[:, number] = reads
        return found, self.drivers.read(times).cost()

    def snapshot(self) -> dict[str, Tensor]:
        """See `Bank.snapshot`; with the zeros."""
        return super().snapshot() | {"zero": self.zero.clone()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """See `Bank.restore`."""
        self.zero = tensors["zero"].clone()
        super().restore(tensors)


def alternate(drivers: Drivers, pairs: int) -> Spent:
    """Pulse every cell up and down `pairs` times: all lines fire at once, and so none is half-selected.

    The energy is that of the conductances before the first pulse.
    """
    cells, layout = drivers.cells, drivers.layout
    arrays, out, lines = cells.shape
    once = torch.ones(cells.shape, dtype=torch.int64, device=cells.generator.device)
    words = once.new_full((2, arrays, len(layout.bits), lines), pairs)
    bits = once.new_full((2, arrays, len(layout.words), out), pairs)
    driven = Driven(layout, (pairs * once, pairs * once), words, bits)
    spent = of_outer(driven, 2 * pairs, 2 * pairs, drivers.electrics, cells.weights)
    for _ in range(pairs):
        cells.pulse(once, once)
    return spent


def check_symmetric(options: ArrayOptions, device: DeviceCard) -> None:
    """Raises CapabilityError where cells of this device in such an array cannot count from a symmetry point."""
    if not takes_pulses(options, device) or device.family == "constant-step":
        raise CapabilityError(
            f"device {device.name}", "response.family", device.family,
            rule="array.transfer needs cells of both signs that take pulses and have a symmetry point",
            fix="leave transfer out, or use a device with soft bounds or another step that depends on the weight",
        )  # fmt: skip
    for field, used in (("wires", options.wires.resistive), ("read_noise.relative", options.read_noise.relative > 0)):
        if used:
            raise CapabilityError(
                "array", field, rule="depends on conductances, which zeros of array.transfer do not have",
                fix="leave one of the two out",
            )  # fmt: skip
