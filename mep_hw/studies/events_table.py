"""What the runs of the study of events say: one row per threshold, as means over seeds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from mep_hw.loihi.energy import energy_j
from mep_hw.loihi.limits import Chip
from mep_hw.studies.markdown import percent

COLUMNS = (
    "threshold", "sent", "trained", "spread", "frozen", "events free", "share", "events nudged", "share nudged",
    "smallest cosine", "free nJ", "half to twice",
)  # fmt: skip
Run = Mapping[str, Any]


def rows(runs: Sequence[Run], updates: Sequence[int], chip: Chip) -> list[dict[str, Any]]:
    """One row per threshold there is a run of.

    Of the use of weights that were trained with every payload sent: `sent_accuracies`, `sent_mean`, `events_free` and
    `events_nudged` (of one phase of one sample), their `share_free` and `share_nudged` of the events without a
    threshold, `steps_free`, `operations_free`, `operations_nudged`, `energy_free_j` and `energy_nudged_j` with
    `energy_free_range_j`, and `cosines` by coupling (the lowest over seeds; None: one was zero). Of training with the
    threshold: `seeds`, `accuracies`, `mean`, `spread`, `frozen_mean`, `diverged`.

    Args:
        updates: of neurons, in a free and in a nudged phase.
    """
    used = [(run["seed"], row) for run in runs for row in run.get("sent", ())]
    whole = [row for _, row in used if row["threshold"] == 0]
    found: list[dict[str, Any]] = []
    for threshold in sorted({run["threshold"] for run in runs}):
        trained = [run for run in runs if run["threshold"] == threshold]
        sent = [row for _, row in used if row["threshold"] == threshold]
        row = {"threshold": threshold, **_trained(trained)}
        if sent:
            row |= _sent(sent, whole, updates, chip)
        found.append(row)
    return found


def cells(table: Mapping[str, Any]) -> list[list[object]]:
    """One list per row of the table, for `COLUMNS`."""
    return [_cells(row) for row in table["rows"]]


def _cells(row: Mapping[str, Any]) -> list[object]:
    frozen = None if row["frozen_mean"] is None else percent(row["frozen_mean"])
    if "sent_mean" not in row:
        return [row["threshold"], None, percent(row["mean"]), percent(row["spread"]), frozen, *[None] * 7]
    low, high = (f"{1e9 * value:.3g}" for value in row["energy_free_range_j"])
    cosines = list(row["cosines"].values())
    return [
        row["threshold"], percent(row["sent_mean"]), percent(row["mean"]), percent(row["spread"]), frozen,
        f"{row['events_free']:.1f}", percent(row["share_free"]), f"{row['events_nudged']:.1f}",
        percent(row["share_nudged"]), "none" if None in cosines else f"{min(cosines):.4f}",
        f"{1e9 * row['energy_free_j']:.3g}", f"{low} to {high}",
    ]  # fmt: skip


def _trained(runs: Sequence[Run]) -> dict[str, Any]:
    accuracies = [run["accuracy"] for run in runs]
    frozen = [run["frozen"] for run in runs if run["frozen"] is not None]
    return {
        "seeds": [run["seed"] for run in runs], "accuracies": accuracies, "mean": statistics.mean(accuracies),
        "spread": statistics.pstdev(accuracies), "frozen_mean": statistics.mean(frozen) if frozen else None,
        "diverged": sum(run["diverged"] for run in runs),
    }  # fmt: skip


def _sent(sent: Sequence[Run], whole: Sequence[Run], updates: Sequence[int], chip: Chip) -> dict[str, Any]:
    row: dict[str, Any] = {"sent_accuracies": [run["accuracy"] for run in sent]}
    row["sent_mean"] = statistics.mean(row["sent_accuracies"])
    for phase, count in zip(("free", "nudged"), updates, strict=True):
        events, all_events = (statistics.mean(sum(run[phase]["events"]) for run in of) for of in (sent, whole))
        operations = statistics.mean(run[phase]["operations"] for run in sent)
        row |= {f"events_{phase}": events, f"share_{phase}": events / all_events}
        row |= {f"operations_{phase}": operations, f"energy_{phase}_j": energy_j(operations, count, chip)}
    row["energy_free_range_j"] = [row["energy_free_j"] / 2, row["energy_free_j"] * 2]
    row["steps_free"] = [statistics.mean(of) for of in zip(*(run["free"]["steps"] for run in sent), strict=True)]
    row["cosines"] = {name: _lowest([run["cosine"][name] for run in sent]) for name in sent[0]["cosine"]}
    return row


def _lowest(cosines: Sequence[float | None]) -> float | None:
    known = [value for value in cosines if value is not None]
    return min(known) if len(known) == len(cosines) else None
