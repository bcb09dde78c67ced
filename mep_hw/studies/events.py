"""Accuracy against events: a model on the backend `loihi` whose units send only what has changed by a threshold.

For every threshold two things. `sent`: a model that was trained with all units sending in every step is used with it:
test accuracy, events and synaptic operations of both phases, and the cosine of its contrast to the one with every
payload sent. `trained`: it is trained with that threshold, beside a control with frozen hidden weights.

The energy is a model (`mep_hw.loihi.energy`) with published energies of single operations of one chip, and comes with
what half and twice of them would make. No setting is tuned for a threshold.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mep_hw
from mep_hw.cards import load_backend
from mep_hw.data import as_data, check
from mep_hw.errors import CapabilityError, DivergenceError
from mep_hw.loihi.limits import load_chip
from mep_hw.model import Model
from mep_hw.studies.events_measure import cosine, measure, updates, with_threshold
from mep_hw.studies.events_table import rows
from mep_hw.studies.saved_runs import Found, Study

BACKEND = "loihi"
THRESHOLDS = (0, 1, 4, 16, 64, 256)


class EventStudy(Study):
    """Runs what is missing in `folder/events.json` and writes the file after every run.

    Args:
        build: makes the model of a seed; it must fit the bundled digits.
        name: the model's, for the record.
        epochs: of every run; None: the card's.
        seeds: one after the other.
        thresholds: in units of the payload; 0, which the others are held against, is always among them.
        chip: whose energies of single operations are taken: a name or a file.
        tell: called with a line about every finished run.

    Raises:
        InputError: a model of another shape, or a folder that cannot be written to.
        CapabilityError: a chip without energies.
        CheckpointError: the folder holds a study with other settings.
    """

    def __init__(
        self, build: Callable[[int], Model], name: str, epochs: int | None, seeds: Sequence[int],
        thresholds: Sequence[int], chip: str | Path, folder: Path, tell: Callable[[str], None],
    ) -> None:  # fmt: skip
        model = build(0)
        self.data = check(as_data(None), input_shape=model.input_shape, outputs=model.outputs)
        self.build, self.guessing = build, 1 / model.outputs
        self.card, self.chip = load_backend(BACKEND), load_chip(chip)
        energies = self.chip.energy
        for operation in ("synaptic_operation", "neuron_update"):
            energy = getattr(energies, operation)
            if energy.value is None:
                rule, fix = f"is not known ({energy.source})", "take loihi1, or a file of your own"
                raise CapabilityError(f"chip {self.chip.name}", f"energy.{operation}", rule=rule, fix=fix)
        self.training: dict[str, Any] = self.card.training.model_dump() | ({} if epochs is None else {"epochs": epochs})
        self.seeds, self.thresholds = list(dict.fromkeys(seeds)), sorted({0, *thresholds})
        assert self.card.loihi is not None
        settings = {
            "model": name, "data": self.data.name, "backend": BACKEND, "training": self.training,
            "thresholds": self.thresholds,
            "payload_fraction": self.card.loihi.payload_fraction, "free_steps": self.card.settle.free_sweeps,
            "nudged_steps": self.card.settle.nudged_sweeps, "chip": self.chip.name, "energy": energies.model_dump(),
            "updates": [updates(model, n) for n in (self.card.settle.free_sweeps, self.card.settle.nudged_sweeps)],
        }  # fmt: skip
        super().__init__(folder / "events.json", "study of events", settings, tell)

    def run(self) -> dict[str, Any]:
        """The table: settings, environment, rows and runs."""
        for seed in self.seeds:
            for threshold in self.thresholds:
                key = f"threshold {threshold} / seed {seed}"
                self.once(
                    key, lambda t=threshold, s=seed: self._train(t, s), lambda run, key=key: f"{key}: {_told(run)}"
                )
        return self.table()

    def _train(self, threshold: int, seed: int) -> Found:
        """One training with its control; the one without a threshold is then used with all of them."""
        model, started = self.build(seed), time.monotonic()
        found: Found = {"threshold": threshold, "seed": seed}
        try:
            run = mep_hw.train(
                model, self.data, backend=with_threshold(self.card, threshold), seed=seed, control=True,
                progress=False, **self.training,
            )  # fmt: skip
        except DivergenceError:
            return found | {"accuracy": self.guessing, "frozen": None, "diverged": True, "seconds": _since(started)}
        found |= {"accuracy": run.test_accuracy, "frozen": run.control_accuracy, "diverged": False, **run.remarks}
        if threshold == 0:
            found["sent"] = self._sent(model)
        return found | {"seconds": _since(started)}

    def _sent(self, model: Model) -> list[Found]:
        """The same weights with every threshold."""
        whole, found = None, list[Found]()
        for threshold in self.thresholds:
            row, contrast = measure(model, self.card, threshold, self.data)
            whole = contrast if whole is None else whole  # the first threshold is 0
            names = [model.couplings[c].name for c in model.trainable]
            row["cosine"] = {n: cosine(a, b) for n, a, b in zip(names, contrast, whole, strict=True)}
            found.append(row)
        return found

    def table(self) -> dict[str, Any]:
        runs = list(self.runs.values())
        found = rows(runs, self.settings["updates"], self.chip)
        return {"settings": self.settings, "environment": self.environment, "rows": found, "runs": self.runs}


def _told(found: Found) -> str:
    return f"{found['accuracy']:.3f}" + (", diverged" if found["diverged"] else "")


def _since(started: float) -> float:
    return round(time.monotonic() - started, 1)
