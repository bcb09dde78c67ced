"""How well a spiking graph does what its model does: it is run, and its rates are held against settled states."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import nir
import numpy as np
from torch import Tensor

from mep_hw.export.simulate import simulate
from mep_hw.export.units import Array
from mep_hw.forward import free_phase
from mep_hw.model import Model

SECONDS = 0.6  # from rest
AVERAGE = 0.3  # of it, at the end


@dataclass(frozen=True)
class Fidelity:
    """One graph against its model, by simulation in numpy.

    rate_error: root mean square difference between decoded rates and states, over all hidden units and samples, as a
        share of the box; None without hidden layers.
    rate_error_max: largest of them.
    accuracy: of the graph's read-out; model_accuracy: of the model's; agreement: share of equal answers.
    """

    samples: int
    seconds: float
    dt: float
    rate_error: float | None
    rate_error_max: float | None
    accuracy: float
    model_accuracy: float
    agreement: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def measure(graph: nir.NIRGraph, model: Model, x: Tensor, labels: Tensor) -> Fidelity:
    """Run `graph`, made by `to_spiking_nir` of `model`, on samples x (n, *input_shape) with labels (n,).

    Raises:
        DataError: samples of another size.
    """
    settled, _ = free_phase(model, x)
    dt = float(graph.metadata["mep_dt"])
    found = simulate(graph, x.flatten(1).numpy(), seconds=SECONDS, average=AVERAGE, dt=dt)
    errors: list[Array] = []
    for layer in range(1, model.depth):
        name = f"units_{layer}"
        said = graph.nodes[name].metadata
        span = said["high"] - said["low"]
        lower, upper = np.split(found.sent[name], 2, axis=1)
        state = settled.state[layer - 1].flatten(1).numpy()
        errors.append(((lower - upper) / said["peak"] - (state - said["low"]) / span).ravel())
    error = np.concatenate(errors) if errors else None
    answers, expected = found.output.argmax(1), settled.output.numpy().argmax(1)
    return Fidelity(
        len(x), SECONDS, dt, None if error is None else float(np.sqrt(np.mean(error**2))),
        None if error is None else float(np.abs(error).max()), float(np.mean(answers == labels.numpy())),
        float(np.mean(expected == labels.numpy())), float(np.mean(answers == expected)),
    )  # fmt: skip
