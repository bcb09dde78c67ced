"""What the runs of the ablation say: accuracy over seeds, and points lost against the base line.

Points lost are the mean difference, in percentage points, to the base line's run of the same seed: initial weights and
the order of samples are then the same, and their share of the spread falls out. Below the spread of the base line a
loss is not a finding.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from mep_hw.studies.error_sources import SOURCES
from mep_hw.studies.markdown import percent

BASE, DIGITAL, FROZEN = "base line", "digital", "frozen"
COLUMNS = ("source", "strength", "unit", "accuracy", "spread", "points lost", "seeds", "diverged", "meaning")
Run = dict[str, Any]


def references(runs: Sequence[Run]) -> dict[str, Any]:
    """Accuracies of the base line, of the digital backend, and of the base line with hidden weights frozen."""
    base, digital = _of(runs, BASE), _of(runs, DIGITAL)
    frozen = [run | {"accuracy": run["frozen"]} for run in base if "frozen" in run]  # not where the base line diverged
    return {name: _summary(of) for name, of in ((BASE, base), (DIGITAL, digital), (FROZEN, frozen)) if of}


def rows(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One row per source and strength there is a run of, in the order of `SOURCES` and the mildest first."""
    ideal = {run["seed"]: run["accuracy"] for run in _of(runs, BASE)}
    found: list[dict[str, Any]] = []
    for source in SOURCES:
        strengths = {run["strength"] for run in runs if run["source"] == source.name}
        for strength in sorted(strengths, reverse=source.ideal == math.inf):
            of = _of(runs, source.name, strength)
            lost = statistics.mean(100 * (ideal[run["seed"]] - run["accuracy"]) for run in of)
            named = {"source": source.name, "meaning": source.meaning, "strength": strength, "unit": source.unit}
            found.append(named | _summary(of) | {"points_lost": lost, "diverged": sum(r["diverged"] for r in of)})
    return found


def cells(table: dict[str, Any]) -> list[list[object]]:
    """One list per row of the table, for `COLUMNS`; the references first."""
    lines: list[list[object]] = []
    for name, of in table["references"].items():
        lines.append([name, "", "", percent(of["mean"]), percent(of["spread"]), "", len(of["seeds"]), "", ""])
    for row in table["rows"]:
        accuracy = percent(row["mean"]), percent(row["spread"]), f"{row['points_lost']:.1f}"
        end = len(row["seeds"]), row["diverged"] or "", row["meaning"]
        lines.append([row["source"], f"{row['strength']:g}", row["unit"], *accuracy, *end])
    return lines


def _of(runs: Sequence[Run], source: str, strength: float | None = None) -> list[Run]:
    return [run for run in runs if run["source"] == source and run["strength"] == strength]


def _summary(runs: Sequence[Run]) -> dict[str, Any]:
    accuracies = [run["accuracy"] for run in runs]
    return {
        "seeds": [run["seed"] for run in runs], "accuracies": accuracies,
        "mean": statistics.mean(accuracies), "spread": statistics.pstdev(accuracies),
    }  # fmt: skip
