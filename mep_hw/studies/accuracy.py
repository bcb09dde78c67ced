"""Test error over seeds: the same configuration trained several times, with logs that let anyone check the figure.

Reported is the last epoch's error of every seed and their mean; no epoch is chosen by looking at test samples.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mep_hw.files import require_writable
from mep_hw.studies.environment import environment
from mep_hw.studies.saved_runs import write_table
from mep_hw.training.run import Run


def accuracy_over_seeds(
    name: str, train: Callable[[int, Path], Run], seeds: Sequence[int], folder: Path
) -> dict[str, Any]:
    """Train once per seed and write `folder/NAME.json` after each.

    Args:
        train: called with the seed and the checkpoint's path; resumes from it where a former study was cut off.

    Returns:
        name, settings, environment, rows[{seed test_error frozen_test_error epochs seconds}], mean_test_error, spread.
    """
    require_writable(folder)
    rows: list[dict[str, Any]] = []
    table: dict[str, Any] = {}
    for seed in seeds:
        run = train(seed, folder / f"{name}-seed{seed}.safetensors")
        if run.test_accuracy is None:
            raise AssertionError("a named data set always has a test part")
        run_folder = folder / "logs" / f"{name}-seed{seed}"
        require_writable(run_folder)
        run.save(run_folder)
        frozen = None if run.control_accuracy is None else 1 - run.control_accuracy
        row = {"seed": seed, "test_error": 1 - run.test_accuracy, "frozen_test_error": frozen}
        rows.append(row | {"epochs": len(run.history), "seconds": round(run.seconds, 1)})
        errors = [row["test_error"] for row in rows]
        table = {
            "name": name, "settings": run.settings.model_dump() | {"seed": list(seeds)},
            "environment": environment(), "rows": rows,
            "mean_test_error": statistics.mean(errors), "spread": statistics.pstdev(errors),
        }  # fmt: skip
        write_table(folder / f"{name}.json", table)
    return table
