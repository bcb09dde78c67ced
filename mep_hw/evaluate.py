"""Accuracy of a model on a backend: free phases only, nothing is changed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from mep_hw import machine
from mep_hw.cards import BackendCard, DeviceCard
from mep_hw.data import Source, as_data, check
from mep_hw.errors import DataError, InputError
from mep_hw.from_torch import as_model
from mep_hw.model import Model
from mep_hw.schedule import Cost
from mep_hw.substrates.base import Substrate
from mep_hw.training.step import batches, correct

BATCH = 500  # samples settled together; results do not depend on it


@dataclass(frozen=True)
class Evaluation:
    """Accuracy on the test part, or on all samples when there is no test part.

    Settling writes nothing, and no card describes what it takes, so every figure of the cost is unknown.
    """

    backend: str
    device: str | None
    data: str
    model: str
    accuracy: float
    seconds: float
    cost: Cost

    def as_dict(self) -> dict[str, Any]:
        """The keys that `mep-hw evaluate --json` prints."""
        return {**self.__dict__, "seconds": round(self.seconds, 3), "cost": self.cost.as_dict()}


def evaluate(
    model: Model | nn.Sequential,
    data: Source = None,
    *,
    backend: str | Path | BackendCard = "cpu",
    device: str | Path | DeviceCard | None = None,
    seed: int = 0,
    after: float | None = None,
    compensate: bool = False,
) -> Evaluation:
    """Settle every test sample freely on `backend` and count the right answers.

    Args:
        after: seconds between programming and use, for machines whose cells drift.
        compensate: make up for the drift by one gain per coupling.

    Raises:
        InputError: of the data, the model or the cards, see `mep_hw.train`.
    """
    card, cell = machine.cards(backend, device)
    source = as_data(data)
    model = as_model(model, source.features)
    source = check(source, input_shape=model.input_shape, outputs=model.outputs)
    x, y = (source.test_x, source.test_y) if source.has_test else (source.x, source.y)
    if y.dim() != 1:
        raise DataError("data", "y", tuple(y.shape), rule="accuracy needs labels (n,)", fix="give class labels")
    started = time.perf_counter()
    substrate = machine.build(model, card, cell, seed)
    if after is not None:
        substrate.wait(after, compensate)
    elif compensate:
        rule, fix = "has no effect without a time", "give the time between programming and use"
        raise InputError("evaluate", "compensate", compensate, rule=rule, fix=fix)
    inputs = model.centred(x.to(substrate.torch_device, substrate.dtype))
    value = accuracy(substrate, inputs, y.to(substrate.torch_device))
    seconds = time.perf_counter() - started
    return Evaluation(card.name, None if cell is None else cell.name, source.name, model.name, value, seconds, Cost())


def accuracy(substrate: Substrate, x: Tensor, y: Tensor) -> float:
    """Share of samples whose largest output is the label (or the largest target); x (n, *input_shape)."""
    hits = sum(int(correct(substrate.settle(x[rows]), y[rows]).sum()) for rows in batches(len(x), BATCH))
    return hits / len(x)
