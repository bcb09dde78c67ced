"""One run of the programming study: accuracy, and what it took to write the weights, after every epoch.

The counts of cells start after the initial programming. Settling, the registers of biases, and whatever the host
computes, are in no figure. A run that diverges, or whose updates no machine could write, counts as one that guesses,
with the reason beside.
"""

from __future__ import annotations

import time
from typing import Any

import mep_hw
from mep_hw.array.electrics import electrics
from mep_hw.cards import BackendCard, DeviceCard
from mep_hw.data import Data
from mep_hw.errors import DivergenceError, ScheduleError
from mep_hw.schedule.pulses import per_cell
from mep_hw.studies.programming_variants import Task, Variant
from mep_hw.training.loop import StepInfo


class Watch:
    """An `on_step` for `train`: the cost so far and the pulses of cells at the end of every epoch, in `rows`."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def __call__(self, info: StepInfo) -> None:
        if info.step == info.steps:
            counts = info.machine.pulses_per_cell()
            assert counts is not None  # of machines with arrays
            mean, p99, most = per_cell(counts)
            of_cells = {"cell_pulses_mean": mean, "cell_pulses_p99": p99, "cell_pulses_max": most}
            self.rows.append(info.cost.as_dict() | of_cells)


def trained(
    task: Task, variant: Variant, cards: tuple[BackendCard, DeviceCard], data: Data, *, lr: float, seed: int,
    epochs: int, held: float = 0.0,
) -> dict[str, Any]:  # fmt: skip
    """Train once; with `held`, the share of samples that accuracies are of, without a control.

    Returns:
        accuracy (last epoch), stopped (None, or why), seconds, and unless stopped: curve (a row per epoch: accuracy and
        cost so far), frozen (accuracy with hidden weights frozen, None where that diverged) and assumed (numbers that
        no device card knows). The last row of the curve is another look than accuracy, with its own noise of reads.
    """
    backend, device = cards
    guessing = 1 / data.classes
    assert backend.array is not None  # the study has looked
    watch, started = Watch(), time.monotonic()
    found: dict[str, Any] = {"lr": lr, "seed": seed, "stopped": None}
    try:
        run = mep_hw.train(
            mep_hw.mlp(*task.sizes, seed=seed), data, backend=backend, device=device, lr=lr, epochs=epochs,
            batch_size=task.batch_size, seed=seed, validation=held, control=not held, on_step=watch, progress=False,
            **variant.settings(),
        )  # fmt: skip
    except (DivergenceError, ScheduleError) as error:
        return found | {"stopped": str(error), "accuracy": guessing, "seconds": _since(started)}
    score = "validation_accuracy" if held else "test_accuracy"
    curve = [{"accuracy": row[score]} | spent for row, spent in zip(run.history, watch.rows, strict=True)]
    found |= {"accuracy": curve[-1]["accuracy"] if held else run.test_accuracy, "curve": curve}
    if not held:
        found |= {"frozen": run.control_accuracy, "assumed": list(electrics(backend.array, device).assumed)}
    return found | {"seconds": _since(started)}


def _since(started: float) -> float:
    return round(time.monotonic() - started, 1)
