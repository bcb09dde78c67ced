"""An ablation of the crossbar: how much accuracy every source of error costs by itself, and all of them together.

The base line is a small model on a crossbar without errors. Every other run has the same samples, rule, rate and
budget, and one error. Two more lines of reference: the same with exact digital weights and states, and the base line
with its hidden weights frozen, below which nothing is learned in the hidden layers. A run that diverges counts as one
that guesses.

No setting is tuned for an error, so what is lost is what an error costs those who do not react to it. Costs do not add
up: errors can hide or amplify each other, and `all` is the only combination tried. The accuracy is that of the test
samples, which choose nothing here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mep_hw
from mep_hw import machine
from mep_hw.cards import BackendCard, DeviceCard
from mep_hw.data import as_data, check
from mep_hw.errors import DivergenceError
from mep_hw.model import Model
from mep_hw.studies.error_cards import BACKEND, DEVICE, bundled, cards_with
from mep_hw.studies.error_sources import Source
from mep_hw.studies.nonidealities_table import BASE, DIGITAL, references, rows
from mep_hw.studies.saved_runs import Found, Study


@dataclass(frozen=True)
class Planned:
    """One run: a source at a strength, or a reference, with one seed."""

    source: str
    strength: float | None
    seed: int
    cards: Callable[[], tuple[BackendCard, DeviceCard | None]]

    @property
    def key(self) -> str:
        """Its name in the file."""
        strength = [] if self.strength is None else [f"{self.strength:g}"]
        return " / ".join([self.source, *strength, f"seed {self.seed}"])


class NonidealityStudy(Study):
    """Runs what is missing in `folder/nonidealities.json` and writes the file after every run.

    Args:
        build: makes the model of a seed; it must fit the bundled digits.
        name: the model's, for the record.
        epochs: of every run.
        seeds: one after the other, so that a study that was cut off is complete for some.
        sources: those to run; the table has all that are in the file.
        tell: called with a line about every finished run.

    Raises:
        InputError: a model of another shape, or a folder that cannot be written to.
        CheckpointError: the folder holds a study of another model or budget.
    """

    def __init__(
        self, build: Callable[[int], Model], name: str, epochs: int, seeds: Sequence[int], sources: Sequence[Source],
        folder: Path, tell: Callable[[str], None],
    ) -> None:  # fmt: skip
        model = build(0)
        self.data = check(as_data(None), input_shape=model.input_shape, outputs=model.outputs)
        self.build, self.guessing = build, 1 / model.outputs
        self.training: dict[str, Any] = bundled()[0].training.model_dump() | {"epochs": epochs}
        self.seeds, self.sources = list(dict.fromkeys(seeds)), list(dict.fromkeys(sources))
        settings = {"model": name, "data": self.data.name, "backend": BACKEND, "device": DEVICE}
        settings |= {"training": self.training}
        super().__init__(folder / "nonidealities.json", "study of error sources", settings, tell)

    def run(self) -> dict[str, Any]:
        """The table: settings, environment, references, rows and runs."""
        missing = [planned for planned in self._plan() if planned.key not in self.runs]
        for number, planned in enumerate(missing, start=1):
            start = f"{number} of {len(missing)}: {planned.key}: "
            self.once(planned.key, lambda planned=planned: self._train(planned), lambda run, s=start: s + _told(run))
        return self.table()

    def _plan(self) -> list[Planned]:
        plan: list[Planned] = []
        for seed in self.seeds:
            plan.append(Planned(BASE, None, seed, lambda: cards_with({})))
            plan.append(Planned(DIGITAL, None, seed, lambda: machine.cards("cpu")))
            plan += [
                Planned(source.name, strength, seed, lambda source=source, strength=strength: source.cards(strength))
                for source in self.sources
                for strength in source.strengths
            ]
        return plan

    def _train(self, planned: Planned) -> Found:
        backend, device = planned.cards()
        base = planned.source == BASE
        found: Found = {"source": planned.source, "strength": planned.strength, "seed": planned.seed}
        started = time.monotonic()
        try:
            run = mep_hw.train(
                self.build(planned.seed), self.data, backend=backend, device=device, seed=planned.seed, control=base,
                progress=False, **self.training,
            )  # fmt: skip
        except DivergenceError:
            found |= {"accuracy": self.guessing, "diverged": True}
        else:
            found |= {"accuracy": run.test_accuracy, "diverged": False}
            found |= {"frozen": run.control_accuracy} if base else {}
        return found | {"seconds": round(time.monotonic() - started, 1)}

    def table(self) -> dict[str, Any]:
        runs = list(self.runs.values())
        return {
            "settings": self.settings, "environment": self.environment, "references": references(runs),
            "rows": rows(runs), "runs": self.runs,
        }  # fmt: skip


def _told(found: Found) -> str:
    return f"{found['accuracy']:.3f}" + (", diverged" if found["diverged"] else "")
