"""What a trained model does on a machine whose units send only changes: accuracy, events, and its contrast.

A threshold of 0 stands for units that all send in every step, the input among them. Counts are means over samples: of a
free phase over those of the test part, of a nudged one over `SAMPLES` of the training part.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mep_hw import estimator, machine
from mep_hw.cards import BackendCard
from mep_hw.cards.changed import changed
from mep_hw.data import Data
from mep_hw.loihi.energy import operations
from mep_hw.loihi.events import Tally
from mep_hw.model import Model
from mep_hw.outersum import dense
from mep_hw.scoring import Samples, score
from mep_hw.substrates.loihi import Loihi

SAMPLES = 256  # of which the contrast is taken

Contrasts = list[Tensor]


def with_threshold(card: BackendCard, threshold: int) -> BackendCard:
    return changed(card, {"loihi.send_threshold": threshold})


def measure(model: Model, card: BackendCard, threshold: int, data: Data) -> tuple[dict[str, Any], Contrasts]:
    """One threshold: `accuracy`, and of either phase `events` by population, the input first, `steps`, the events of
    all other populations by step, and `operations`; and the contrast of every coupling."""
    with machine.build(model, with_threshold(card, threshold), None, 0) as built:
        assert isinstance(built, Loihi)
        found: dict[str, Any] = {"threshold": threshold}
        found["accuracy"] = score(built, Samples.of(data.test_x, data.test_y, data, built)).accuracy
        free = None if built.senders is None else built.senders.free
        found["free"] = _phase(model, free, card.settle.free_sweeps)
        samples = Samples.of(data.x[:SAMPLES], data.y[:SAMPLES], data, built)
        method = estimator.make("centered", card.training.beta)
        (contrast,) = method.contrasts(built, samples.x, samples.target)
        nudged = None if built.senders is None else built.senders.nudged
        found["nudged"] = _phase(model, nudged, card.settle.nudged_sweeps)
        return found, [dense(update).double() for update in contrast.weights if update is not None]


def cosine(one: Tensor, other: Tensor) -> float | None:
    """None where one of them is zero."""
    size = float(one.norm() * other.norm())
    return float((one * other).sum()) / size if size else None


def updates(model: Model, steps: int) -> int:
    """Updates of neurons in so many steps; the input only sends."""
    return steps * sum(shape.numel() for shape in _shapes(model)[1:])


def _phase(model: Model, tally: Tally | None, steps: int) -> dict[str, Any]:
    """Per sample; None: all units send in every step."""
    if tally is None:
        units = [torch.full(shape, float(steps)) for shape in _shapes(model)]
        per_step = [float(sum(shape.numel() for shape in _shapes(model)[1:]))] * steps
    else:
        units = [events / tally.rows for events in tally.units]
        per_step = [sum(counts) / tally.rows for counts in tally.steps]
        per_step += [0.0] * (steps - len(per_step))  # the emulator stops where nothing changes any more
    return {"events": [float(u.sum()) for u in units], "steps": per_step, "operations": operations(model, units)}


def _shapes(model: Model) -> list[torch.Size]:
    return [torch.Size(shape) for shape in (model.input_shape, *(layer.shape for layer in model.layers))]
