"""Accuracy and loss of a model on a backend: free phases only, nothing is changed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from mep_hw import machine
from mep_hw.cards import BackendCard, DeviceCard
from mep_hw.data import Source, as_data, check
from mep_hw.errors import InputError
from mep_hw.from_torch import as_model
from mep_hw.model import Model
from mep_hw.schedule import Cost
from mep_hw.scoring import Samples, score


@dataclass(frozen=True)
class Evaluation:
    """Accuracy and mean loss on the test part, or on all samples when there is no test part.

    accuracy: None where targets are real numbers.

    Settling writes nothing, and no card describes what it takes, so every figure of the cost is unknown.
    """

    backend: str
    device: str | None
    data: str
    model: str
    accuracy: float | None
    loss: float
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
    """Settle every test sample freely on `backend`, count the right answers and measure the loss.

    Args:
        after: seconds between programming and use, for machines whose cells drift.
        compensate: make up for the drift by one gain per coupling.

    Raises:
        InputError: of the data, the model or the cards, see `mep_hw.train`.
    """
    card, device_card = machine.cards(backend, device)
    source = as_data(data)
    model = as_model(model, source.features)
    source = check(source, input_shape=model.input_shape, outputs=model.outputs)
    x, y = (source.test_x, source.test_y) if source.has_test else (source.x, source.y)
    started = time.perf_counter()
    if compensate and after is None:
        rule, fix = "has no effect without a time", "give the time between programming and use"
        raise InputError("evaluate", "compensate", compensate, rule=rule, fix=fix)
    with machine.build(model, card, device_card, seed) as substrate:
        if after is not None:
            substrate.wait(after, compensate)
        found = score(substrate, Samples.of(x, y, source, substrate))
    return Evaluation(
        backend=card.name, device=None if device_card is None else device_card.name, data=source.name, model=model.name,
        accuracy=found.accuracy, loss=found.loss, seconds=time.perf_counter() - started, cost=Cost(),
    )  # fmt: skip
