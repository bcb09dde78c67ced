"""A network on analog arrays: products through converters, wires and noisy cells; weights changed by pulses.

States and biases are digital registers, and every product of a coupling is one read of its cells, forward or
transposed. The equations of motion are integrated with these reads (`mep_hw.flow`), fresh noise in every step; the
inputs' drives are read once and held through the phases of a batch, as sample-and-hold stages do. Fixed residual links
have no cells and are exact.

A weight may be spread over slices (`mep_hw.array.sliced`), and updates may reach it by way of a fast array
(`mep_hw.array.transfer`); all kinds of bank look alike from here.

Not modelled: the time that converters take, the settling of lines, and leakage between neighbours. Max pooling behind
weights needs values that are never read, and complex states are no voltages: both are refused.
"""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any

import torch
from torch import Tensor

from mep_hw.array import banks, lowered
from mep_hw.array.converters import FREE, NEGATIVE, POSITIVE, Phase
from mep_hw.array.holder import Holder
from mep_hw.array.scale import fitted
from mep_hw.cards.schema import BackendCard, DeviceCard
from mep_hw.compiler.eligible import eligible
from mep_hw.coupling import Identity
from mep_hw.energy import total_energy
from mep_hw.errors import CapabilityError, ModelError
from mep_hw.files import under
from mep_hw.flow import integrate
from mep_hw.model import Model
from mep_hw.schedule import Cell, Cost, Cycle, Hold, Outer, Read, Refresh, Row, Schedule, Transfer
from mep_hw.schedule.cost import known_max
from mep_hw.state import Nudge, Settled, State
from mep_hw.substrates.base import Substrate

KINDS = {"outer": Outer, "row": Row, "cell": Cell}  # write mode to the cycles that belong to it


class Crossbar(Substrate):
    """Arrays of one device behind one card.

    Raises:
        CapabilityError: the card has no array or device, or the device cannot hold weights on it.
        ModelError: a coupling that cannot be read from an array.
    """

    def __init__(self, model: Model, backend: BackendCard, device: DeviceCard | None, seed: int) -> None:
        if backend.array is None or device is None:
            field = "array" if backend.array is None else "device"
            rule, fix = "is needed to hold weights in cells", f"give the card one, or use --{field} where there is one"
            raise CapabilityError(f"backend {backend.name}", field, None, rule=rule, fix=fix)
        _check(backend)
        super().__init__(model, backend, device, seed)
        self.cards: list[BackendCard] = []
        self.banks: list[Holder | None] = []
        for coupling, weights in zip(model.couplings, model.weights, strict=True):
            if any(pool.kind == "max" for pool in coupling.after):
                rule = "max pooling behind weights needs products that an array does not read"
                raise ModelError(f"coupling {coupling.name}", "pool", "max", rule=rule, fix="use average pooling")
            options = fitted(backend.array, weights)
            self.cards.append(backend.model_copy(update={"array": options}))
            if isinstance(coupling.operator, Identity):
                self.banks.append(None)
                continue
            eligible(self.cards[-1], device)  # refuses what cannot be written at all
            rows, columns = weights.flatten(1).shape
            self.banks.append(banks.make(options, device, (rows, columns), self.generator, self.dtype))
        self.noisy = _noisy(backend)
        self._phase: Phase = FREE
        self._found: dict[int, Tensor] = {}
        self._worn: float | None = 0.0  # wear of the most used cell, so that a schedule looks at its own cells only
        self._fixed = [self.tensor(w) for w in model.weights]  # of couplings without cells; others give the shape
        for c in range(len(model.couplings)):
            self.write(c, model.weights[c])

    def settle(self, inputs: Tensor, nudge: Nudge | None = None, start: Settled | None = None) -> Settled:
        if nudge is not None and nudge.beta.is_complex():
            rule, fix = "voltages are real numbers", "use another estimator, or backend cpu"
            raise CapabilityError(f"backend {self.backend.name}", "states", "complex", rule=rule, fix=fix)
        self._phase = FREE if nudge is None else torch.where(nudge.beta > 0, POSITIVE, NEGATIVE)
        energy = self._energy if self.record_energy else None
        return integrate(self.model, self, self.backend, inputs, nudge, start, noisy=self.noisy, energy=energy)

    def card_of(self, coupling: int) -> BackendCard:
        return self.cards[coupling]

    def couple(self, c: int, source: Tensor, add: Tensor | None) -> Tensor:
        coupling, bank = self.model.couplings[c], self.banks[c]
        if bank is None:
            return coupling.forward(source, self._fixed[c], add)
        phase = FREE if coupling.source == 0 else self._phase  # inputs are read once, for all phases
        return lowered.forward(coupling, source, lambda rows, n: bank.product(rows, _each(phase, n)), add)

    def couple_back(self, c: int, target: Tensor, source: Tensor, add: Tensor | None) -> Tensor:
        coupling, bank = self.model.couplings[c], self.banks[c]
        if bank is None:
            return coupling.backward(target, self._fixed[c], source, add)

        def product(rows: Tensor, n: int) -> Tensor:
            return bank.product_transposed(rows, _each(self._phase, n))

        return lowered.backward(coupling, target, source, product, add)

    def apply(self, coupling: int, schedule: Schedule) -> Cost:
        allowed: Any = Read | Hold | Refresh | Transfer
        for mode, kind in KINDS.items():
            if mode in self.backend.write_modes:
                allowed |= kind
        bank = self.banks[coupling]
        for cycle in schedule.cycles:
            if bank is None or not isinstance(cycle, allowed) or not bank.executes(cycle):
                raise CapabilityError(
                    f"backend {self.backend.name}", "cycle", type(cycle).__name__,
                    rule=f"device {self.device.name if self.device else None} or this coupling cannot execute it",
                    fix="compile the update for these cards",
                )  # fmt: skip
        self.check_shape(coupling, schedule)
        if bank is None or not schedule.cycles:
            return Cost.none()
        cost = reduce(add, [self._execute(coupling, bank, cycle) for cycle in schedule.cycles])
        bank.tick()
        cost += bank.show()  # calibration has its reads
        before, self._worn = self._worn, known_max([self._worn, bank.wear()])
        return replace(cost, wear_max=None if before is None or self._worn is None else self._worn - before)

    def found(self, coupling: int) -> Tensor:
        return self._found[coupling]

    def read(self, coupling: int) -> Tensor:
        bank, fixed = self.banks[coupling], self._fixed[coupling]
        return fixed.clone() if bank is None else bank.held.view_as(fixed)

    def write(self, coupling: int, weights: Tensor) -> Cost:
        """Initial programming: write and verify, see `Bank.verify`."""
        bank = self.banks[coupling]
        if bank is None:
            self._fixed[coupling] = self.tensor(weights)
            return Cost(cycles=1)
        array = self.cards[coupling].array
        assert array is not None  # checked when this was made
        writing = array.writing
        cost = bank.write(self.tensor(weights).flatten(1), writing.tolerance, writing.iterations)
        self._worn = self._wear()
        return cost

    def wait(self, seconds: float, compensate: bool = False) -> None:
        """Let cells drift as their card says.

        Compensation is one digital gain per coupling, by its drives before and after (after Joshi et al., Nature
        Communications 11, 2473, 2020, who compare sums); it costs many reads of every word line by itself, twice.
        """
        for bank in self.banks:
            if bank is not None:
                bank.wait(seconds, compensate)

    def pulses_per_cell(self) -> Tensor:
        return torch.cat([bank.counted.flatten() for bank in self.banks if bank is not None])

    def remarks(self) -> dict[str, float | str]:
        """wire_error: largest of the weights that reads use against the exact circuit, see `Tile.wire_error`; not where
        wires are ideal."""
        assert self.backend.array is not None  # checked when this was made
        if not self.backend.array.wires.resistive:
            return {}
        errors = [bank.wire_error() for bank in self.banks if bank is not None]
        return {"wire_error": max(errors)} if errors else {}

    def snapshot(self) -> dict[str, Tensor]:
        tensors = {f"bias.{n}": b.clone() for n, b in enumerate(self.biases, start=1) if b is not None}
        tensors |= {f"fixed.{c}": self._fixed[c].clone() for c, bank in enumerate(self.banks) if bank is None}
        for c, bank in enumerate(self.banks):
            if bank is not None:
                tensors |= {f"bank.{c}.{name}": value for name, value in bank.snapshot().items()}
        return tensors | {"generator": self.generator.get_state()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        for c, bank in enumerate(self.banks):
            if bank is None:
                self._fixed[c] = self.tensor(tensors[f"fixed.{c}"])
            else:
                bank.restore(under(f"bank.{c}.", tensors))
        self.restore_biases(tensors)
        self.generator.set_state(tensors["generator"])
        self._worn = self._wear()

    def _execute(self, coupling: int, bank: Holder, cycle: Cycle) -> Cost:
        found, cost = bank.execute(cycle)
        if found is not None:
            self._found[coupling] = found
        return cost

    def _wear(self) -> float | None:
        """Of the most used cell of all arrays."""
        return known_max(bank.wear() for bank in self.banks if bank is not None)

    def _energy(self, state: State, x: Tensor, nudge: Nudge | None) -> Tensor:
        weights = [self.read(c) for c in range(len(self.banks))]
        return total_energy(self.model, weights, self.biases, state, x, nudge)


def _noisy(backend: BackendCard) -> bool:
    """Whether two reads of one state differ."""
    array = backend.array
    assert array is not None
    sides = [converter for side in (array.forward, array.transposed) for converter in (side.dac, side.adc)]
    noise = array.read_noise
    return bool(noise.absolute or noise.relative) or any(
        c.noise_sd or (c.bits is not None and c.rounding == "stochastic") for c in sides
    )


def _each(phase: Phase, rows: int) -> Phase:
    return phase.repeat_interleave(rows) if isinstance(phase, Tensor) and rows > 1 else phase


def _check(card: BackendCard) -> None:
    """Raises CapabilityError for what such arrays are not, or where a fast array would get no outer products."""
    place = card.compute.torch_device
    for field, value, wrong, fix in (
        ("complex_states", card.complex_states, card.complex_states, "set complex_states to false"),
        ("compute.torch_device", place, torch.device(place).type != "cpu", "arrays are simulated on the cpu"),
    ):
        if wrong:
            raise CapabilityError(f"backend {card.name}", field, value, rule="is not for cells in arrays", fix=fix)
    if card.array is not None and card.array.transfer is not None and "outer" not in card.write_modes:
        raise CapabilityError(
            f"backend {card.name}", "write_modes", ", ".join(card.write_modes),
            rule="array.transfer needs outer: updates go to the fast array as outer products",
            fix="add outer, or leave transfer out",
        )  # fmt: skip
