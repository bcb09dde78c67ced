"""Does EP train when units talk by spikes? The digits with `mep_hw.brian.spiking`, against the rate model.

Every seed trains with one rule, rate and budget on two machines, spiking units and the rate model on `cpu`, each also
with its hidden weights frozen. The last epoch counts. The rule and its rate are such that the rate model learns within
the budget; nothing was tuned on spikes. Before training, the contrast of the first training samples is compared with
the exact gradient of the rate model.

A claim of learning holds where accuracy is above that with frozen hidden weights by a tenth at least. A simulation of
equations of our own: it says nothing of what a chip would do.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mep_hw
from mep_hw.cards import BackendCard, load_backend
from mep_hw.cards.changed import changed
from mep_hw.data import as_data, check
from mep_hw.gradcheck import gradient_check
from mep_hw.model import Model
from mep_hw.studies.saved_runs import Found, Study

MARGIN = 0.10  # by which a trained model must beat its frozen hidden weights
ROUNDING = 1e-9  # of accuracies, which are multiples of 1 / 360
SAMPLES = 64  # of the comparison with the exact gradient
TRAINING: dict[str, Any] = {
    "rule": "muon", "lr": 0.02, "momentum": 0.9, "weight_decay": 0.0, "batch_size": 64, "beta": 0.2,
    "lr_schedule": "cosine",
}  # fmt: skip
PHASES: dict[str, Any] = {"free_sweeps": 200, "nudged_sweeps": 200, "average": 100, "euler_step": 0.1}
KINDS = ("spiking", "rate")


class SpikingStudy(Study):
    """Runs what is missing in `folder/spiking.json` and writes the file after every run.

    Args:
        build: makes the model of a seed, of hard-sigmoid units; it must fit the bundled digits.
        name: the model's, for the record.
        epochs: of every run.
        seeds: one after the other, so that a study that was cut off is complete for some.
        tell: called with a line about every finished run.

    Raises:
        InputError: a model of another shape, or a folder that cannot be written to.
        CheckpointError: the folder holds a study of another model or budget.
    """

    def __init__(
        self, build: Callable[[int], Model], name: str, epochs: int, seeds: Sequence[int], folder: Path,
        tell: Callable[[str], None],
    ) -> None:  # fmt: skip
        model = build(0)
        self.data = check(as_data(None), input_shape=model.input_shape, outputs=model.outputs)
        self.build, self.seeds = build, list(dict.fromkeys(seeds))
        self.training: dict[str, Any] = TRAINING | {"epochs": epochs}
        settings = {"model": name, "data": self.data.name, "training": self.training, "phases": PHASES}
        super().__init__(folder / "spiking.json", "study of spiking units", settings, tell)

    def run(self) -> dict[str, Any]:
        """The table: settings, environment, rows and runs."""
        for seed in self.seeds:
            for kind in KINDS:
                key = f"{kind} / seed {seed}"
                self.once(key, lambda kind=kind, seed=seed: self._train(kind, seed), lambda run, k=key: _told(k, run))
        return self.table()

    def table(self) -> dict[str, Any]:
        found = [(kind, [run for run in self.runs.values() if run["kind"] == kind]) for kind in KINDS]
        rows = [_row(kind, runs) for kind, runs in found if runs]
        return {"settings": self.settings, "environment": self.environment, "rows": rows, "runs": self.runs}

    def _train(self, kind: str, seed: int) -> Found:
        backend, started = spiking_card() if kind == "spiking" else load_backend("cpu"), time.monotonic()
        first = replace(self.data, x=self.data.x[:SAMPLES], y=self.data.y[:SAMPLES])
        at_beta = changed(backend, {"training.beta": self.training["beta"]})
        cosine = gradient_check(self.build(seed), first, backend=at_beta, as_trained=True).min_cosine
        run = mep_hw.train(
            self.build(seed), self.data, backend=backend, seed=seed, control=True, progress=False, **self.training
        )
        return {
            "kind": kind, "seed": seed, "accuracy": run.test_accuracy, "frozen": run.control_accuracy,
            "cosine": cosine, "course": [epoch["test_accuracy"] for epoch in run.history],
            "brian2": version("brian2") if kind == "spiking" else None,
            "seconds": round(time.monotonic() - started, 1),
        }  # fmt: skip


def spiking_card() -> BackendCard:
    """The card of `brian2` with spiking units in phases of fixed length."""
    settle = {f"settle.{name}": value for name, value in PHASES.items()}
    never = {"settle.tolerance": 0.0, "settle.nudged_tolerance": 0.0}
    return changed(load_backend("brian2"), {"substrate": "mep_hw.brian.spiking:Spiking", **settle, **never})


def _row(kind: str, runs: Sequence[Found]) -> dict[str, Any]:
    accuracies, frozen = ([run[name] for run in runs] for name in ("accuracy", "frozen"))
    return {
        "kind": kind, "seeds": [run["seed"] for run in runs], "mean": statistics.mean(accuracies),
        "least": min(accuracies), "frozen": statistics.mean(frozen),
        "learns": all(a - f >= MARGIN - ROUNDING for a, f in zip(accuracies, frozen, strict=True)),
        "least_cosine": min(run["cosine"] for run in runs), "seconds": statistics.mean(run["seconds"] for run in runs),
    }  # fmt: skip


def _told(key: str, run: Found) -> str:
    return f"{key}: {run['accuracy']:.3f}, frozen {run['frozen']:.3f}, {run['seconds']:.0f} s"
