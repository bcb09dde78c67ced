"""What the commands on schedules are given: an update from a file, and the cards of the machine that it is for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor

from mep_hw.array.scale import fitted, scale_of
from mep_hw.cards.array import Objective
from mep_hw.cards.schema import BackendCard, DeviceCard
from mep_hw.compiler import Budget
from mep_hw.errors import CapabilityError
from mep_hw.machine import cards, minimising
from mep_hw.outersum import OuterSum, Update
from mep_hw.schedule.updates import load_update

UpdateFile = Annotated[Path, typer.Argument(help="npz with update, or left and right; held and residual if wanted.")]
Minimise = Annotated[
    Objective | None,
    typer.Option(help="Objective of the choice; default: the card's.", show_default=False),
]
TimeMax = Annotated[float | None, typer.Option(help="Most seconds, by prediction.", show_default=False)]
EnergyMax = Annotated[float | None, typer.Option(help="Most joules, by prediction.", show_default=False)]
WearMax = Annotated[
    float | None, typer.Option(help="Most wear of a cell, as a share of its endurance.", show_default=False)
]


@dataclass(frozen=True)
class Task:
    """An update and the cards to compile it for, sized for the weights before."""

    update: Update
    residual: Tensor | None
    held: Tensor | None
    backend: BackendCard
    device: DeviceCard | None


def read(file: Path, backend: str, device: str | None, minimise: str | None, form: str | None) -> Task:
    """The update of a file in the number format of the machine, and the cards as the options want them.

    Raises:
        InputError: the file or a card is missing or broken, or the machine has not what an option asks for.
    """
    saved = load_update(file)
    card, cells = cards(backend, device)
    dtype: torch.dtype = getattr(torch, card.compute.dtype)
    if form is not None:
        if form not in card.write_modes:
            rule = f"must be one of its write modes: {', '.join(card.write_modes)}"
            raise CapabilityError(f"backend {card.name}", "form", form, rule=rule, fix="choose one of them")
        card = card.model_copy(update={"write_modes": (form,)})
    card = minimising(card, minimise)
    if card.array is not None:
        array = fitted(card.array, torch.zeros(1) if saved.held is None else saved.held)
        card = card.model_copy(update={"array": array})
    update = saved.update
    cast: Update = update.to(dtype) if isinstance(update, Tensor) else _factors(update, dtype)
    residual, held = (None if given is None else given.to(dtype) for given in (saved.residual, saved.held))
    return Task(cast, residual, held, card, cells)


def _factors(update: OuterSum, dtype: torch.dtype) -> OuterSum:
    return OuterSum(update.left.to(dtype), update.right.to(dtype), update.scale)


def budget(time: float | None, energy: float | None, wear: float | None) -> Budget | None:
    """The limits that were given; None: none was."""
    limits = Budget(time, energy, None, wear)
    return limits if limits.limits else None


def scale(card: BackendCard, device: DeviceCard | None) -> float | None:
    """Weight of the model that a cell of weight 1 stands for; None: there are no cells."""
    return None if card.array is None or device is None else scale_of(card.array, device)


def name(device: DeviceCard | None) -> str | None:
    return None if device is None else device.name
