"""Machines that hold weights as exact numbers: one register write realises any update, and reading is free."""

from __future__ import annotations

import torch
from torch import Tensor

from mep_hw.cards.registers import fitted
from mep_hw.cards.schema import BackendCard, DeviceCard
from mep_hw.compiler import predict
from mep_hw.energy import total_energy
from mep_hw.errors import CapabilityError
from mep_hw.model import Model
from mep_hw.outersum import add_into_
from mep_hw.schedule import Cost, Schedule
from mep_hw.state import Nudge, State
from mep_hw.substrates.base import Substrate


class Digital(Substrate):
    """Weights in registers, which change in place, and the products of both directions computed from them.

    Raises:
        CapabilityError: the card has an array, or registers that cannot hold the initial weights.
    """

    def __init__(self, model: Model, backend: BackendCard, device: DeviceCard | None, seed: int) -> None:
        if backend.array is not None:
            rule, fix = "this substrate holds weights in registers", "leave array out, or name an analog substrate"
            raise CapabilityError(f"backend {backend.name}", "array", rule=rule, fix=fix)
        super().__init__(model, backend, device, seed)
        pairs = zip(model.weights, model.couplings, strict=True)
        self.cards = [_fitted(backend, weights, not coupling.trainable) for weights, coupling in pairs]
        self.weights = [self._written(c, w) for c, w in enumerate(model.weights)]

    def card_of(self, coupling: int) -> BackendCard:
        return self.cards[coupling]

    def apply(self, coupling: int, schedule: Schedule) -> Cost:
        changes = self.register_changes(schedule)
        self.check_shape(coupling, schedule)
        weights = self.weights[coupling]
        for change in changes:
            add_into_(weights, change)
        held = self._held(coupling, weights)
        if held is not weights:
            weights.copy_(held)
        return predict(schedule, self.card_of(coupling), self.device)

    def read(self, coupling: int) -> Tensor:
        return self.weights[coupling].clone()

    def write(self, coupling: int, weights: Tensor) -> Cost:
        """Set the weights of one coupling.

        Raises:
            CapabilityError: registers of the card's format cannot hold them; the old ones are kept.
        """
        self.weights[coupling].copy_(self._written(coupling, weights))
        return Cost(cycles=1)

    def snapshot(self) -> dict[str, Tensor]:
        steps = {
            f"step.{k.name}": torch.tensor(card.registers.step, dtype=torch.float64)
            for k, card in zip(self.model.couplings, self.cards, strict=True)
            if card.registers is not None
        }
        return super().snapshot() | steps

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Go back to a `snapshot` and the steps of its registers, which depend on the weights that it started from."""
        for c, (k, card) in enumerate(zip(self.model.couplings, self.cards, strict=True)):
            if card.registers is not None:
                form = card.registers.model_copy(update={"step": float(tensors[f"step.{k.name}"])})
                self.cards[c] = card.model_copy(update={"registers": form})
        super().restore(tensors)

    def couple(self, c: int, source: Tensor, add: Tensor | None) -> Tensor:
        return self.model.couplings[c].forward(source, self._as(c, source), _cast(add, source))

    def couple_back(self, c: int, target: Tensor, source: Tensor, add: Tensor | None) -> Tensor:
        return self.model.couplings[c].backward(target, self._as(c, target), source, _cast(add, target))

    def energy(self, state: State, x: Tensor, nudge: Nudge | None) -> Tensor:
        """E, or E + beta C in a nudged phase, with the weights held; (rows,)."""
        return total_energy(self.model, self.weights, self.biases, state, x, nudge)

    def _written(self, coupling: int, weights: Tensor) -> Tensor:
        """The weights as registers hold them; refuses those beyond the range."""
        exact, form = self.tensor(weights), self.card_of(coupling).registers
        if form is not None:
            steps = (exact / form.step).round_()
            # Not the other way round, so that what is no number is beyond, too.
            if not (float(steps.min()) >= -form.units - 1 and float(steps.max()) <= form.units):
                name, largest = self.model.couplings[coupling].name, float(exact.abs().max())
                raise CapabilityError(
                    f"backend {self.backend.name}", "registers", f"{form.bits} bits, step {form.step:g}",
                    rule=f"hold {form.low:g} to {form.high:g}, and coupling {name} has a weight of size {largest:g}",
                    fix="take a larger step or more bits, or start from smaller weights",
                )  # fmt: skip
        return self._held(coupling, exact)

    def _held(self, coupling: int, weights: Tensor) -> Tensor:
        """What registers of the coupling's format come to, which saturate: as by a cell, what is beyond is given up."""
        form = self.card_of(coupling).registers
        return weights if form is None else (weights / form.step).round_().mul_(form.step).clamp_(form.low, form.high)

    def _as(self, c: int, value: Tensor) -> Tensor:
        weight = self.weights[c]
        return weight if weight.dtype == value.dtype else weight.to(value.dtype)


def _fitted(card: BackendCard, weights: Tensor, fixed: bool) -> BackendCard:
    """The card with the registers of a coupling that starts with these weights."""
    if card.registers is None or card.registers.step_by == "weight":
        return card
    return card.model_copy(update={"registers": fitted(card.registers, weights, fixed)})


def _cast(add: Tensor | None, value: Tensor) -> Tensor | None:
    return add if add is None or add.dtype == value.dtype else add.to(value.dtype)
