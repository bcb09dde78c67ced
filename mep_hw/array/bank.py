"""The cells of one coupling on their arrays: what is pulsed and programmed here is what products are read through.

A weight is held by one cell less a reference, scale * c, or by a pair: scale * (c+ - c-) of cells that hold one sign
only, scale * (c+ - c-) / 2 of others, which are pulsed in opposite directions. A pulse on a cell in the middle of its
range then moves the weight by scale * dw_min in every case. References are ideal cells.

Not valid for arrays whose cells cannot be selected alone in write and verify; with `writing.disturb` such arrays are
modelled, and a round of write and verify is pulsed line by line.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mep_hw.array.converters import FREE, Phase
from mep_hw.array.drivers import Drivers
from mep_hw.array.electrics import electrics
from mep_hw.array.holder import Found, Holder
from mep_hw.array.layout import layout
from mep_hw.array.mapping import mapping_of
from mep_hw.array.scale import (
    cell_tolerance,
    from_cells,
    in_cells,
    pairing_of,
    reachable,
    scale_of,
    takes_pulses,
    two_sided,
)
from mep_hw.array.spent import of_calibration, of_read
from mep_hw.array.supported import check_writing, tell_of_size
from mep_hw.array.tiled import Tiled
from mep_hw.array.verify import verified
from mep_hw.cards.array import ArrayOptions
from mep_hw.cards.schema import DeviceCard
from mep_hw.cells import Cells
from mep_hw.errors import CheckpointError
from mep_hw.files import under
from mep_hw.schedule.cost import Cost
from mep_hw.schedule.ir import Cell, Cycle, Outer, Read, Refresh, Row

# Averaged in a measurement of the bank's own, as a single read is mostly noise and rounding; read-backs that a schedule
# holds take `writing.reads`.
READS = 64


class Bank(Holder):
    """Weights (out, in) in cells of `device`, all at weight 0 or at the bound next to it.

    Args:
        options: the array as its card describes it.
        shape: (out, in).
        generator: of everything random in cells and converters.
        dtype: number format of states, weights and drives.

    Raises:
        CapabilityError: cells of one sign with a reference, effects of conductance without a known range of it, or
            disturbance by pulses of cells that take none.
    """

    def __init__(
        self,
        options: ArrayOptions,
        device: DeviceCard,
        shape: tuple[int, int],
        generator: torch.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.two_sided, pairing = two_sided(device), pairing_of(options, device)
        self.options = options.model_copy(update={"pairing": pairing, "scale": scale_of(options, device)})
        self.device, self.pair = device, pairing == "differential"
        place, writing = layout(shape, options, device), options.writing
        self.cells = Cells(device, (place.arrays, *shape), generator, dtype)
        known = electrics(options, device)
        self.drivers = Drivers(self.cells, place, known, not self.two_sided, writing.disturb)
        self.drop = writing.drop_exponent
        self._steps = torch.empty(0)  # of each cell, as a share of its own, where voltages drop: see `show`
        check_writing(options, device)
        mapping = mapping_of(self.options, pairing, device)
        self.tiled = Tiled(self.options, mapping, torch.zeros(shape, dtype=dtype), generator, dtype)
        tell_of_size(options, self.tiled.rows + self.tiled.cols)
        self._stale, self._uncalibrated, self.dtype = 0, 0, dtype
        self.gain = 1.0  # of all drives, digital; makes up for drift
        self._first = self.cells.pulses.clone()
        self.show(solve=True)

    @property
    def weights(self) -> Tensor:
        return self._joined(self.cells.weights)

    @property
    def held(self) -> Tensor:
        return self.weights * self.gain

    def product(self, states: Tensor, phase: Phase = FREE) -> Tensor:
        return self._amplified(self.tiled.product(states, phase))

    def product_transposed(self, states: Tensor, phase: Phase = FREE) -> Tensor:
        return self._amplified(self.tiled.product_transposed(states, phase))

    def takes(self) -> tuple[type, ...]:
        pulses = (Outer, Row) if takes_pulses(self.options, self.device) else ()
        return (Cell, Read, Refresh, *pulses)

    def cycle(self, cycle: Cycle) -> Found:
        match cycle:
            case Outer() | Row():
                return None, self.pulse(cycle)
            case Cell():
                return None, self.verify(cycle)
            case Refresh():
                return None, self.refresh(cycle)
            case Read():
                return self.look(cycle)
            case _:
                raise TypeError(f"a bank does not execute {type(cycle).__name__}")

    def set(self, weights: Tensor) -> None:
        """Hold `weights` (out, in) as exactly as the cells' bounds allow; nothing is modelled of the writing."""
        self.cells.set(self._aims(weights))
        self.show(solve=True)

    def pulse(self, cycle: Outer | Row) -> Cost:
        """Pulse weights where their lines coincide, or line by line."""
        return self.drivers.pulse(cycle).cost()

    def verify(self, cycle: Cell) -> Cost:
        """Write and verify, see `mep_hw.schedule.Cell`: by the device's law of programming, or else by pulses.

        Raises:
            CapabilityError: the device knows neither.
        """
        aims = reachable(self.weights + cycle.change.flatten(1), self.options, self.device)
        tolerance = cell_tolerance(cycle.tolerance, self.options, self.device)
        return verified(self.drivers, aims, tolerance, cycle.iterations)

    def refresh(self, cycle: Refresh) -> Cost:
        """Write the weights found by a read anew."""
        found, cost = self.look(Read(None, READS))
        return cost + self.verify(Cell(found / self.gain - self.weights, cycle.tolerance, cycle.iterations))

    def look(self, cycle: Read) -> tuple[Tensor, Cost]:
        """The mean of reads through the converters, weights (out, in) or basis^T W (k, in), and what it took."""
        self._present(solve=False)
        if cycle.basis is None:
            found = self.signal(cycle.reads).T * self.gain
        else:
            states = cycle.basis.T.to(self.dtype)
            found = torch.stack([self.product_transposed(states) for _ in range(cycle.reads)]).mean(0)
        spent = of_read(cycle, self.drivers.layout, self.drivers.electrics, self.cells.weights)
        return found, spent.cost()

    def write(self, weights: Tensor, tolerance: float, iterations: int) -> Cost:
        self.gain = 1.0
        done = self.verify(Cell(weights - self.weights, tolerance, iterations)) + self.show(solve=True)
        self._first = self.cells.pulses.clone()
        return done

    @property
    def counted(self) -> Tensor:
        return self.cells.pulses - self._first

    def tick(self) -> None:
        self.cells.tick()

    def wait(self, seconds: float, compensate: bool) -> None:
        before = self.signal() if compensate else None
        self.cells.wait(seconds)
        self.show(solve=True)
        if before is not None:
            self.make_up(before)

    def wear(self) -> float | None:
        endurance = self.drivers.electrics.endurance
        return None if endurance is None else float(self.cells.pulses.max()) / endurance

    def wire_error(self) -> float:
        return self.tiled.wire_error()

    def measured(self) -> tuple[Tensor, Cost]:
        """What the cells stand for, (out, in), by the mean of READS reads of every cell, and what they took."""
        found = self._joined(torch.stack([self.cells.read() for _ in range(READS)]).mean(0))
        lines = torch.full((len(self.drivers.layout.bits), self.cells.shape[2]), float(READS))
        return found, self.drivers.read(lines).cost()

    def signal(self, reads: int = READS) -> Tensor:
        """Drives that a unit state on one word line at a time gives, (in, out), the mean of `reads` reads each."""
        lines = torch.eye(self.cells.shape[2], dtype=self.dtype, device=self.cells.generator.device)
        return torch.stack([self.tiled.product(lines) for _ in range(reads)]).mean(0)

    def make_up(self, before: Tensor) -> None:
        """Set the gain by which the signal now comes closest to what it was, see `signal`."""
        after = self.signal()
        common = float((before * after).sum())
        if common > 0:
            self.gain *= float(before.square().sum()) / common

    def show(self, solve: bool = False) -> Cost:
        self._stale = 0 if solve else (self._stale + 1) % self.options.solve_every
        self._present(self._stale == 0)
        if self.drop is not None and self._stale == 0:
            self._steps = self.tiled.written_share() ** self.drop
            self.cells.weaken(self._steps)
        if every := self.options.calibrate_every:
            self._uncalibrated = 0 if solve else (self._uncalibrated + 1) % every
            if self._uncalibrated == 0:
                self.tiled.calibrate(READS)
                return of_calibration(READS, self.drivers.layout, self.drivers.electrics).cost()
        return Cost.none()

    def snapshot(self) -> dict[str, Tensor]:
        tensors = {f"cells.{name}": value for name, value in self.cells.snapshot().items()} | {"first": self._first}
        tensors |= {f"tiles.{name}": value for name, value in self.tiled.snapshot().items()}
        if self.drop is not None:
            tensors["steps"] = self._steps
        counters = {"stale": torch.tensor(self._stale), "uncalibrated": torch.tensor(self._uncalibrated)}
        numbers = {"gain": self.gain, "scale": self.options.scale}
        return tensors | counters | {name: torch.tensor(v, dtype=torch.float64) for name, v in numbers.items()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Go back to a `snapshot` of a bank that was made with the same arguments and seed.

        Raises:
            CheckpointError: its cells stand for weights of another size.
        """
        if float(tensors["scale"]) != self.options.scale:
            raise CheckpointError(
                "array", "scale", float(tensors["scale"]), rule=f"is not {self.options.scale:g}, that of these arrays",
                fix="restore into a machine made with the same card and the same initial weights",
            )  # fmt: skip
        self.cells.restore(under("cells.", tensors))
        self.tiled.restore(under("tiles.", tensors))
        self._stale, self._uncalibrated = int(tensors["stale"]), int(tensors["uncalibrated"])
        self.gain, self._first = float(tensors["gain"]), tensors["first"].clone()
        if self.drop is not None:
            self._steps = tensors["steps"].clone()
            self.cells.weaken(self._steps)
        if self.tiled.plain:
            self.tiled.show(self.weights)

    def _present(self, solve: bool) -> None:
        """Products see the cells as they are, with the wires solved anew or as they were."""
        if self.tiled.plain:
            self.tiled.show(self.weights)
        else:
            self.tiled.hold(self.cells.weights * self.options.scale, self.two_sided, solve)

    def _amplified(self, drives: Tensor) -> Tensor:
        return drives if self.gain == 1.0 else drives.mul_(self.gain)

    def _joined(self, held: Tensor) -> Tensor:
        """The weights (out, in) that cells (arrays, out, in) stand for."""
        return from_cells(held, self.options, self.device)

    def _aims(self, weights: Tensor) -> Tensor:
        """What each cell should hold for `weights`, (arrays, out, in)."""
        return in_cells(weights, self.options, self.device)
