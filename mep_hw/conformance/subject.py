"""The machine under test: its cards, and how a check gets a fresh one.

Checks build as many machines as they need and use only what every `Substrate` promises: settle, apply, read, write,
apply_bias, biases, snapshot, restore, store, tensor. What a machine holds is asked of the machine, so a check is as
good as `read`; a machine that misreports its weights consistently, in `read` and in `settle`, is not found out.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mep_hw import machine
from mep_hw.cards.schema import BackendCard, Conformance, DeviceCard
from mep_hw.compiler import compile
from mep_hw.conformance.problems import KINDS, Problem, problem
from mep_hw.model import Model
from mep_hw.outersum import Update
from mep_hw.schedule import Schedule
from mep_hw.state import Nudge
from mep_hw.substrates.base import Substrate


@dataclass(frozen=True)
class Subject:
    """A backend card with its device card.

    built: the machines of the present check, open until it ends.
    """

    card: BackendCard
    device: DeviceCard | None
    built: list[Substrate] = field(default_factory=list)

    @property
    def bars(self) -> Conformance:
        return self.card.conformance

    @property
    def exact(self) -> bool:
        """The machine takes any schedule as it is, so realised and intended differ by rounding only."""
        return "exact" in self.card.write_modes

    def supports(self, kind: str) -> bool:
        """Whether the machine is to take this kind of model; it is asked to refuse those that its card excuses."""
        return kind not in self.bars.unsupported_models

    def problems(self, samples: int = 8, kinds: Sequence[str] = KINDS) -> list[Problem]:
        """One of each kind that the machine takes."""
        return [problem(kind, samples) for kind in kinds if self.supports(kind)]

    def build(self, model: Model, seed: int = 0) -> Substrate:
        """A fresh machine that holds `model`'s weights; the model itself is left alone."""
        self.built.append(machine.build(copy.deepcopy(model), self.card, self.device, seed))
        return self.built[-1]

    def close(self) -> None:
        """Close all machines built so far."""
        while self.built:
            self.built.pop().close()

    def schedule(self, machine: Substrate, c: int, update: Update, residual: Update | None = None) -> Schedule:
        """The update as cycles for one coupling of this machine."""
        generator = torch.Generator(machine.torch_device).manual_seed(4)
        return compile(update, residual, machine.card_of(c), self.device, generator)


@dataclass(frozen=True)
class Running:
    """A machine with one problem's batch in its own number format."""

    machine: Substrate
    inputs: Tensor
    target: Tensor

    def nudge(self, *signs: float) -> Nudge:
        """The card's beta with these signs, one copy of the batch each."""
        beta = self.machine.backend.training.beta
        values = torch.tensor([sign * beta for sign in signs], dtype=self.inputs.dtype, device=self.inputs.device)
        return Nudge(values.repeat_interleave(len(self.inputs)), self.target)


def start(subject: Subject, problem: Problem, seed: int = 0) -> Running:
    """A fresh machine for this problem."""
    built = subject.build(problem.model, seed)
    return Running(built, built.tensor(problem.x), built.tensor(problem.y))


def held(built: Substrate) -> list[Tensor]:
    """The weights that the machine reports, float64, on the CPU."""
    return plain([built.read(c) for c in range(len(built.model.couplings))])


def held_biases(built: Substrate) -> list[Tensor | None]:
    """The same for the biases."""
    return [None if b is None else b.to("cpu", torch.float64, copy=True) for b in built.biases]


def plain(values: Sequence[Tensor]) -> list[Tensor]:
    """Float64 copies on the CPU."""
    return [value.to("cpu", torch.float64, copy=True) for value in values]


def rounding(built: Substrate, size: float) -> float:
    """How far off a sum of a few numbers of this size may be in the machine's number format."""
    return 4 * torch.finfo(built.dtype).eps * size
