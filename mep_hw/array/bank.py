"""The cells of one coupling on their arrays: what is pulsed and programmed here is what products are read through.

A weight is held by one cell less a reference, scale * c, or by a pair: scale * (c+ - c-) of cells that hold one sign
only, scale * (c+ - c-) / 2 of others, which are pulsed in opposite directions. A pulse on a cell in the middle of its
range then moves the weight by scale * dw_min in every case. References are ideal cells.

Not valid for arrays whose cells cannot be selected alone in write and verify.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from mep_hw.array.converters import FREE, Phase
from mep_hw.array.mapping import Mapping, pairing_of, two_sided
from mep_hw.array.tiled import Tiled
from mep_hw.cards.array import ArrayOptions
from mep_hw.cards.physics import Unknown
from mep_hw.cards.schema import DeviceCard
from mep_hw.cells import Cells
from mep_hw.cells.energy import pulse_energy
from mep_hw.errors import CapabilityError
from mep_hw.schedule.ir import Cell

READS = 64  # of one word line in a calibration: a single read is mostly noise and rounding
WRITE_NOISES = 2.0  # standard deviations of write noise that an error must exceed to be worked off


@dataclass(frozen=True)
class Written:
    """What a write did: rounds of pulses, the slots of these rounds, pulses of all cells, and their energy (J).

    Of programming by a law no source says how many pulses it takes, so the figures are None.
    """

    rounds: int | None
    slots: int | None
    pulses: int | None
    energy: float | None

    def __add__(self, other: Written) -> Written:
        """Both, one after the other."""
        mine, theirs = astuple(self), astuple(other)
        return Written(*(None if a is None or b is None else a + b for a, b in zip(mine, theirs, strict=True)))


class Bank:
    """Weights (out, in) in cells of `device`, all at weight 0 or at the bound next to it.

    Args:
        options: the array as its card describes it.
        shape: (out, in).
        generator: of everything random in cells and converters.
        dtype: number format of states, weights and drives.

    Raises:
        CapabilityError: cells of one sign with a reference, or effects of conductance without a known range of it.
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
        self.options = options.model_copy(update={"pairing": pairing})
        self.device, self.pair = device, pairing == "differential"
        self.unit = options.scale / 2 if self.pair and self.two_sided else options.scale
        self.cells = Cells(device, (2 if self.pair else 1, *shape), generator, dtype)
        mapping = _mapping(self.options, pairing, device)
        self.tiled = Tiled(self.options, mapping, torch.zeros(shape, dtype=dtype), generator, dtype)
        self._stale, self.dtype = 0, dtype
        self.gain = 1.0  # of all drives, digital; makes up for drift
        self.show(refresh=True)

    @property
    def weights(self) -> Tensor:
        """What the cells stand for, (out, in), without the noise of a read."""
        return self._joined(self.cells.weights)

    def product(self, states: Tensor, phase: Phase = FREE) -> Tensor:
        """Drives (batch, out) from states (batch, in)."""
        return self._amplified(self.tiled.product(states, phase))

    def product_transposed(self, states: Tensor, phase: Phase = FREE) -> Tensor:
        """Drives (batch, in) from states (batch, out), through the same cells."""
        return self._amplified(self.tiled.product_transposed(states, phase))

    def set(self, weights: Tensor) -> None:
        """Hold `weights` (out, in) as exactly as the cells' bounds allow; nothing is modelled of the writing."""
        self.cells.set(self._aims(weights))
        self.show(refresh=True)

    def pulse(self, up: Tensor, down: Tensor) -> Written:
        """Up and down pulses of every weight, (out, in) integers; rounds and slots are those of one such write."""
        pulses = (torch.stack([up, down]), torch.stack([down, up])) if self.pair else (up[None], down[None])
        return replace(self._pulsed(*pulses), slots=int(up.amax()) + int(down.amax()))  # a pair takes them at once

    def verify(self, cycle: Cell) -> Written:
        """Write and verify, see `mep_hw.schedule.Cell`: by the device's law of programming, or else by pulses.

        Raises:
            CapabilityError: the device knows neither.
        """
        # Nobody asks a cell for what its kind cannot hold: it would be pulsed to death.
        low, high = self.device.w_min.value, self.device.w_max.value
        aims = self._aims(self.weights + cycle.change.flatten(1)).clamp(
            -torch.inf if low is None else low, torch.inf if high is None else high
        )
        tolerance = cycle.tolerance / (self.unit * len(aims))  # the errors of a pair add up
        if self.device.family == "ideal":
            self.cells.set(aims)
            return Written(1, None, None, None)
        if not isinstance(self.device.programming, Unknown):
            self.cells.program(aims, (aims - self.cells.read()).abs() > tolerance)
            return Written(None, None, None, None)
        step = self.device.dw_min.value
        done, share, last = Written(0, 0, 0, 0.0), torch.ones_like(aims), torch.zeros_like(aims)
        for _ in range(cycle.iterations):
            error = aims - self.cells.read()
            wanted = error.sign()
            share = torch.where(wanted * last < 0, share / 2, share)  # steps larger than the card's mean overshoot
            last = wanted
            if step is not None:  # an error within the noise of a write is drawn anew by one pulse, not worked off
                far = error.abs() > WRITE_NOISES * self.cells.write_noise
                count = (error.abs() / step * share).round().clamp(min=1)
                wanted = torch.where(far, wanted * count, wanted)
            wanted = torch.where(error.abs() > tolerance, wanted, 0.0).int()
            if not bool(wanted.any()):
                break
            done += self._pulsed(wanted.clamp(min=0), -wanted.clamp(max=0))
        return done

    def signal(self) -> Tensor:
        """Drives that a unit state on one word line at a time gives, (in, out), the mean of READS reads each."""
        lines = torch.eye(self.cells.shape[2], dtype=self.dtype, device=self.cells.generator.device)
        return torch.stack([self.tiled.product(lines) for _ in range(READS)]).mean(0)

    def make_up(self, before: Tensor) -> None:
        """Set the gain by which the signal now comes closest to what it was, see `signal`."""
        after = self.signal()
        common = float((before * after).sum())
        if common > 0:
            self.gain *= float(before.square().sum()) / common

    def show(self, refresh: bool = False) -> None:
        """Let products see what the cells hold now.

        Args:
            refresh: compute the effect of wires anew; else only every `refresh_every` calls.
        """
        self._stale = 0 if refresh else (self._stale + 1) % self.options.refresh_every
        if self.tiled.grid[0][0].plain:
            self.tiled.show(self.weights)
        else:
            self.tiled.hold(self.cells.weights * self.options.scale, self.two_sided, self._stale == 0)

    def snapshot(self) -> dict[str, Tensor]:
        """Cells, wear, clock and solutions of the wires, to go on from bit for bit."""
        tensors = {f"cells.{name}": value for name, value in self.cells.snapshot().items()}
        tensors |= {f"tiles.{name}": value for name, value in self.tiled.snapshot().items()}
        return tensors | {"stale": torch.tensor(self._stale), "gain": torch.tensor(self.gain, dtype=torch.float64)}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Go back to a `snapshot` of a bank that was made with the same arguments and seed."""
        self.cells.restore({name.removeprefix("cells."): v for name, v in tensors.items() if name.startswith("cells.")})
        self.tiled.restore({name.removeprefix("tiles."): v for name, v in tensors.items() if name.startswith("tiles.")})
        self._stale, self.gain = int(tensors["stale"]), float(tensors["gain"])
        if self.tiled.grid[0][0].plain:
            self.tiled.show(self.weights)

    def _pulsed(self, up: Tensor, down: Tensor) -> Written:
        """One round of pulses on the cells, (arrays, out, in)."""
        energy = pulse_energy(self.device, self.cells.weights, up, down)
        self.cells.pulse(up, down)
        return Written(1, int(up.amax()) + int(down.amax()), int(up.sum()) + int(down.sum()), energy)

    def _amplified(self, drives: Tensor) -> Tensor:
        return drives if self.gain == 1.0 else drives.mul_(self.gain)

    def _joined(self, held: Tensor) -> Tensor:
        joined = held[0] - held[1] if self.pair else held[0]
        return joined if self.unit == 1 else self.unit * joined

    def _aims(self, weights: Tensor) -> Tensor:
        """What each cell should hold for `weights`, (arrays, out, in)."""
        if not self.pair:
            return weights[None] / self.unit
        if self.two_sided:
            return torch.stack([weights, -weights]) / (2 * self.unit)
        return torch.stack([weights.clamp(min=0), (-weights).clamp(min=0)]) / self.unit


def _mapping(options: ArrayOptions, pairing: Literal["differential", "reference"], device: DeviceCard) -> Mapping:
    """Between weights and conductances, as far as the device knows its own."""
    low, high = device.w_min.value, device.w_max.value
    reach = options.scale * max(1.0 if v is None else abs(v) for v in (low, high))
    g_min, g_max = device.electrical.g_min.value, device.electrical.g_max.value
    if g_min is None or g_max is None:
        wires, noise = options.wires, options.read_noise
        if wires.word_ohm or wires.bit_ohm or noise.relative:
            field = "read_noise.relative" if noise.relative else "wires"
            raise CapabilityError(
                f"device {device.name}", "electrical.g_max", "unknown",
                rule=f"array.{field} needs the range of conductances", fix="use a device card that knows it",
            )  # fmt: skip
        g_min, g_max = 0.0, 1.0  # only shares of the range are asked for
    return Mapping(g_min, g_max, reach, pairing)
