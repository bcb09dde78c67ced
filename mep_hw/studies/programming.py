"""The headline study: what training costs in programming time, energy and pulses, by rule, form and device.

Every pair of a variant and a device has the same budget: three learning rates on a part of the training samples, judged
on samples held out of it, then all seeds with the rate that was chosen, each beside a control with its hidden weights
frozen. Test samples choose nothing but the epoch at which an accuracy counts as reached (`programming_results`).

Open loop: nothing is read back or verified, except what pairs of one sign need and what the compiler chooses. Figures
of time and energy are estimates of the cards; settling is in none. What wins on a small model need not win on a large
one: row writes take as many cycles as an array has lines, outer products of a low rank do not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from mep_hw.cards import BackendCard
from mep_hw.compiler import compile
from mep_hw.data import Data, load
from mep_hw.errors import InputError
from mep_hw.machine import build
from mep_hw.model import mlp
from mep_hw.studies.environment import environment
from mep_hw.studies.programming_results import best_rate, choices, finalists, rows, winners
from mep_hw.studies.programming_run import trained
from mep_hw.studies.programming_variants import Cell, Task, Variant, cards
from mep_hw.studies.saved_runs import Found, Study, saved_runs

FINALISTS = 5
DATA_SEED = 0  # of the choice of samples where a task takes a part of them


@dataclass(frozen=True)
class Pair:
    """A variant on a device."""

    variant: Variant
    cell: Cell

    @property
    def name(self) -> str:
        return f"{self.variant.name} / {self.cell.name}"

    @property
    def rates(self) -> tuple[float, ...]:
        """Learning rates that it is tuned over."""
        return tuple(rate * self.variant.pace for rate in self.cell.rates)


def best_on_digits(folder: Path) -> list[str]:
    """Names of the FINALISTS variants that go on to larger tasks, by the digits study in the same folder.

    Raises:
        InputError: there is none.
    """
    path = folder / "programming-digits.json"
    runs = saved_runs(path, "programming study", {})[0] if path.exists() else {}
    names = finalists(rows(runs), FINALISTS)
    if not names:
        rule, fix = "holds no finished runs to choose the best variants by", "run the digits first, or give variants"
        raise InputError("study", "out", str(path), rule=rule, fix=fix)
    return names


class ProgrammingStudy(Study):
    """Runs what is missing in `folder/programming-TASK.json` and writes the file after every run.

    Where nothing is missing, or `hours` is 0, the file is only read.

    Args:
        backend: the machine; its array and circuit must stay the same over all calls.
        subjects: variants and cells to run; the table has all that are in the file.
        seeds: one after the other, so that a study that was cut off is complete for some.
        tell: called with a line about every finished run.
        hours: start no run after this time; the next call goes on.

    Raises:
        InputError: no variant runs on any of the devices, one whose updates its cards cannot write, or a folder that
            cannot be written to.
        CheckpointError: the folder holds a study of another task, budget or array.
    """

    def __init__(
        self, task: Task, backend: BackendCard, subjects: tuple[Sequence[Variant], Sequence[Cell]],
        seeds: Sequence[int], folder: Path, tell: Callable[[str], None], hours: float = 6.0,
    ) -> None:  # fmt: skip
        self.task, self.backend, self.seeds = task, backend, list(dict.fromkeys(seeds))
        variants, cells = subjects
        self.pairs = [Pair(v, c) for c in cells for v in variants if not v.devices or c.name in v.devices]
        if not self.pairs:
            rule = "run on none of the devices that were chosen"
            raise InputError("study", "variants", ", ".join(v.name for v in variants), rule=rule, fix="add ecram")
        self._probe()
        kept = backend.model_dump(mode="json", include={"array", "training", "settle"})
        settings = {"task": json.loads(json.dumps(asdict(task))), "backend": backend.name} | kept
        super().__init__(folder / f"programming-{task.name}.json", "programming study", settings, tell, hours)

    def run(self) -> dict[str, Any]:
        """The table: settings, environment, rows, winners, choices and runs."""
        for pair in self.pairs:
            for lr in pair.rates:
                self._once(pair, lr, None)
        for seed in self.seeds:
            for pair in self.pairs:
                if all(_key(pair, lr, None) in self.runs for lr in pair.rates):  # else there was no time
                    self._once(pair, best_rate(self.runs, pair.variant.name, pair.cell.name), seed)
        return self.table()

    def _once(self, pair: Pair, lr: float, seed: int | None) -> None:
        key = _key(pair, lr, seed)

        def told(found: Found) -> str:
            note = "" if found["stopped"] is None else ", stopped"
            return f"{key}: {found['accuracy']:.3f}{note} ({found['seconds']:.0f} s)"

        self.once(key, lambda: self._trained(pair, lr, seed), told)

    def _trained(self, pair: Pair, lr: float, seed: int | None) -> Found:
        """One run; without a seed it is one of tuning."""
        task, both = self.task, cards(pair.variant, pair.cell, self.backend)
        if seed is None:
            data, epochs, held = self._part(task.tuning_images), task.tuning_epochs, task.held
        else:
            data, epochs, held = self._part(task.images), task.epochs, 0.0
        found = trained(task, pair.variant, both, data, lr=lr, seed=seed or 0, epochs=epochs, held=held)
        variant, stage = pair.variant, "tune" if seed is None else "run"
        return {
            "stage": stage, "variant": variant.name, "device": pair.cell.name, "rule": variant.rule,
            "rank": variant.rank, "form": variant.form, "modes": variant.modes, "fixed": variant.fixed,
            "array": pair.cell.array | variant.array, "commit": environment()["commit"],
        } | found  # fmt: skip

    @cached_property
    def _data(self) -> Data:
        return load(self.task.name)  # may be a download, which a look at the table does not need

    def _part(self, images: int | None) -> Data:
        """The first so many training images in an order of their own."""
        if images is None or images >= len(self._data.x):
            return self._data
        order = torch.randperm(len(self._data.x), generator=torch.Generator().manual_seed(DATA_SEED))[:images]
        return replace(self._data, x=self._data.x[order], y=self._data.y[order])

    def _probe(self) -> None:
        """Compile an update for every pair before any runs: hours later is too late to learn that one cannot be."""
        for pair in self.pairs:
            backend, device = cards(pair.variant, pair.cell, self.backend)
            compile(torch.ones(2, 2) / 100, None, backend, device)
            build(mlp(2, 2), backend, device, seed=0)

    def table(self) -> dict[str, Any]:
        return {
            "settings": self.settings, "environment": self.environment, "rows": rows(self.runs),
            "winners": winners(self.runs), "choices": choices(self.runs), "runs": self.runs,
        }  # fmt: skip


def _key(pair: Pair, lr: float, seed: int | None) -> str:
    """The name of a run in the file."""
    return f"tune / {pair.name} / {lr:g}" if seed is None else f"run / {pair.name} / {lr:g} / seed {seed}"
