"""A controlled comparison of rules on real EP contrasts: which lowers the test error, and with a bound or without.

Every variant (rule, rank, bound, feedback) has the same budget: five learning rates, one epoch over 10,000 images each,
judged on 5,000 (digits: 200) further training images that no variant trains on. With its best rate it then runs over
three seeds, and the six variants with the lowest held-out error run for ten epochs over all training images. The test
images are looked at only in those last two stages and choose nothing. A run that diverges counts as one that guesses.

One model, one estimator with truncated nudging and one batch size for all; what wins here need not win elsewhere.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import mep_hw
from mep_hw import machine
from mep_hw.data import Data, load
from mep_hw.errors import DivergenceError, InputError
from mep_hw.studies.probe import Probe
from mep_hw.studies.rule_variants import TASKS, Variant, variants
from mep_hw.studies.saved_runs import Found, Study, write_table

SEEDS = (0, 1, 2)
FINALISTS = 6
EPOCHS = 10
GUESSING = 0.9
NUDGED_SWEEPS = 2
BETA = 0.05


class RuleStudy(Study):
    """Runs what is missing in `folder/rules-TASK.json` and writes the file after every run.

    Where nothing is missing, or `hours` is 0, the file is only read: it keeps the commit that its runs were made with.

    Args:
        tell: called with a line about every finished run.
        hours: stop before the first run after this time; the next call goes on.
    """

    def __init__(self, task: str, folder: Path, tell: Callable[[str], None], hours: float = 6.0) -> None:
        if task not in TASKS:
            raise InputError("study", "task", task, rule=f"is not one of {', '.join(TASKS)}", fix="choose one of them")
        self.task = TASKS[task]
        shared = {key: value for key, value in asdict(self.task).items() if not key.endswith("rates")}
        settings = json.loads(json.dumps(shared | {"nudged_sweeps": NUDGED_SWEEPS, "beta": BETA, "seeds": SEEDS}))
        super().__init__(folder / f"rules-{task}.json", "rule study", settings, tell, hours)

    @cached_property
    def data(self) -> Data:
        return load(self.task.data)  # may be a download, which a look at the table does not need

    def run(self, subjects: Sequence[Variant]) -> dict[str, Any]:
        """The table over `subjects`; rows lack what there was no time for."""
        for variant in subjects:
            for lr in self.task.rates_of(variant):
                self._once(f"tune / {variant.name} / {lr:g}", lambda v=variant, r=lr: self._tune(v, r))
        chosen = {v: self._best_rate(v) for v in subjects}
        for seed in SEEDS:
            for variant, lr in chosen.items():
                if lr is not None:
                    self._once(_key("short", variant, lr, seed), lambda v=variant, r=lr, s=seed: self._short(v, r, s))
        if all(self._mean(v) is not None for v in subjects):  # else the six best are not known yet
            finalists = sorted(subjects, key=self._held_out)[:FINALISTS]
            for seed in SEEDS:
                for variant in finalists:
                    lr = chosen[variant]
                    assert lr is not None  # a variant with a score has one
                    self._once(_key("long", variant, lr, seed), lambda v=variant, r=lr, s=seed: self._long(v, r, s))
        if not self.path.exists():
            write_table(self.path, self.table())
        return self._table(subjects)

    def table(self) -> dict[str, Any]:
        return self._table(variants())

    def _once(self, key: str, run: Callable[[], Found]) -> None:
        def timed() -> Found:
            started = time.monotonic()
            return run() | {"seconds": round(time.monotonic() - started, 1)}

        self.once(key, timed, lambda found: f"{key}: {found['errors'] if 'errors' in found else found['error']}")

    def _tune(self, variant: Variant, lr: float) -> Found:
        split, held_x, held_y = self._split()
        data = (split.x, split.y), (held_x, held_y)
        return {"error": self._train(variant, lr, 0, data, self.task.passes)[-1]}

    def _short(self, variant: Variant, lr: float, seed: int) -> Found:
        split, _, _ = self._split()
        data = (split.x, split.y), (self.data.test_x, self.data.test_y)
        rows: list[dict[str, Any]] = []
        error = self._train(variant, lr, seed, data, self.task.passes, rows if seed == 0 else None)[-1]
        return {"error": error, "lr": lr, "probes": rows}

    def _long(self, variant: Variant, lr: float, seed: int) -> Found:
        data = (self.data.x, self.data.y), (self.data.test_x, self.data.test_y)
        errors = self._train(variant, lr, seed, data, EPOCHS)
        return {"errors": {str(epoch): errors[epoch - 1] for epoch in (1, 3, EPOCHS)}, "lr": lr}

    def _train(
        self,
        variant: Variant,
        lr: float,
        seed: int,
        data: Any,
        epochs: int,
        rows: list[dict[str, Any]] | None = None,
    ) -> list[float]:
        """Error after each epoch on the second part of `data`; filled up with guessing after a divergence."""
        task, errors = self.task, [GUESSING] * epochs
        model = mep_hw.mlp(*task.sizes, cost="cross_entropy", seed=seed)
        sweeps = {"free_sweeps": task.free_sweeps, "nudged_sweeps": NUDGED_SWEEPS}
        probe = None
        if rows is not None:
            steps = epochs * -(-len(data[0][0]) // task.batch)
            card = machine.fixed_sweeps(machine.cards("cpu")[0], task.free_sweeps, NUDGED_SWEEPS)
            (x, y), (test_x, test_y) = data
            batch = Data("probe", x[: task.probes], y[: task.probes], test_x, test_y, 10)
            probe = Probe(model, card, BETA, batch, {2, *(max(2, steps * k // 5) for k in range(1, 6))})
        try:
            run = mep_hw.train(
                model, data, lr=lr, epochs=epochs, batch_size=task.batch, beta=BETA, lr_schedule="cosine",
                centre=True, seed=seed, progress=False, on_step=probe, **sweeps, **variant.settings(),
            )  # fmt: skip
        except DivergenceError:
            return errors
        finally:
            if rows is not None and probe is not None:
                rows.extend(probe.rows)
        return [1 - score for row in run.history if (score := row["test_accuracy"]) is not None]

    def _split(self) -> tuple[Data, Any, Any]:
        """The tuning images and those that tuning is judged on; the same for every variant and seed."""
        whole, held_x, held_y = self.data.split(self.task.held / len(self.data.x), 0)
        images = self.task.images
        return Data(whole.name, whole.x[:images], whole.y[:images], held_x, held_y, whole.classes), held_x, held_y

    def _best_rate(self, variant: Variant) -> float | None:
        rates = self.task.rates_of(variant)
        found = [self.runs.get(f"tune / {variant.name} / {lr:g}") for lr in rates]
        if any(entry is None for entry in found):
            return None
        return min((entry["error"], lr) for entry, lr in zip(found, rates, strict=True) if entry is not None)[1]

    def _held_out(self, variant: Variant) -> float:
        """Error on the held-out images at the best rate."""
        return self.runs[f"tune / {variant.name} / {self._best_rate(variant):g}"]["error"]

    def _found(self, stage: str, variant: Variant) -> list[Found]:
        """The runs there are at the best rate, one per seed."""
        lr = self._best_rate(variant)
        keys = [] if lr is None else [_key(stage, variant, lr, seed) for seed in SEEDS]
        return [self.runs[key] for key in keys if key in self.runs]

    def _mean(self, variant: Variant) -> float | None:
        errors = [run["error"] for run in self._found("short", variant)]
        return statistics.mean(errors) if len(errors) == len(SEEDS) else None

    def _row(self, variant: Variant) -> dict[str, Any]:
        lr, rates = self._best_rate(variant), self.task.rates_of(variant)
        short, long = self._found("short", variant), self._found("long", variant)
        return {
            "variant": variant.name, **asdict(variant), "lr": lr,
            "lr_at_the_edge": None if lr is None else lr in (rates[0], rates[-1]),
            "short_errors": [run["error"] for run in short], "short_mean": self._mean(variant),
            "long_errors": [run["errors"] for run in long], "probes": short[0]["probes"] if short else [],
        }  # fmt: skip

    def _table(self, subjects: Sequence[Variant]) -> dict[str, Any]:
        return {
            "settings": self.settings, "rates": self.task.rates, "bounded_rates": self.task.bounded_rates,
            "environment": self.environment, "rows": [self._row(v) for v in subjects],
            "runs": self.runs,
        }  # fmt: skip


def _key(stage: str, variant: Variant, lr: float, seed: int) -> str:
    return f"{stage} / {variant.name} / {lr:g} / {seed}"
