"""The results of the programming study as tables, for the terminal and for the pages of docs/results."""

from __future__ import annotations

import statistics
from typing import Any

from mep_hw.studies.markdown import as_markdown, percent
from mep_hw.studies.programming_results import COSTS

UNKNOWN = "unknown"
COLUMNS = (
    "device", "variant", "form", "lr", "accuracy", "spread", "seeds", "frozen", *COSTS.values(), "most of a cell",
    "slots", "stopped",
)  # fmt: skip
WINNERS = ("device", "accuracy to reach", "at least", "variant", "form", "spent", "low rank / rows")
CHOICES = ("device", "chosen", "lr", "spent", "best fixed form", "spent by it", "ratio")


def cells(table: dict[str, Any]) -> list[list[str]]:
    """One list per pair, for `COLUMNS`."""
    return [_cells(row) for row in table["rows"]]


def winner_cells(table: dict[str, Any]) -> list[list[str]]:
    """One list per device and cost, for `WINNERS`."""
    return [
        [
            row["device"], percent(row["bar"]), COSTS[row["cost"]], row["variant"] or "none", row["form"] or "",
            _figure(row["spent"]), _figure(row["low_rank_over_rows"], "not both"),
        ]
        for row in table["winners"]
    ]  # fmt: skip


def choice_cells(table: dict[str, Any]) -> list[list[str]]:
    """One list per chosen form and rate, for `CHOICES`."""
    return [
        [
            row["device"], row["variant"], f"{row['lr']:g}", _figure(row["spent"]), row["best"],
            _figure(row["spent_by_best"]), f"{row['ratio']:.2f}",
        ]
        for row in table["choices"]
    ]  # fmt: skip


def markdown(table: dict[str, Any]) -> str:
    """All three, with a line on what each says."""
    parts = [
        "Accuracies in percent, means over seeds; costs of the whole run:",
        as_markdown(COLUMNS, cells(table)),
        "The least that a fixed form takes to an accuracy 2 points below the device's best:",
        as_markdown(WINNERS, winner_cells(table)),
    ]
    if table["choices"]:
        note = "What the compiler chose against the fixed forms of the same rule, tuning runs:"
        parts += [note, as_markdown(CHOICES, choice_cells(table))]
    return "\n\n".join(parts)


def _cells(row: dict[str, Any]) -> list[str]:
    edge = " (edge)" if row["lr_at_the_edge"] else ""
    accuracy = percent(row["mean"]), percent(statistics.pstdev(row["accuracies"])), str(len(row["seeds"]))
    none = row["stopped"] == len(row["seeds"])
    frozen = "" if none else "diverged" if row["frozen"] is None else percent(row["frozen"])
    costs = ["" if none else _figure(row[name]) for name in (*COSTS, "cell_pulses_max", "slots")]
    stopped = str(row["stopped"] or "")
    return [row["device"], row["variant"], row["form"], f"{row['lr']:g}{edge}", *accuracy, frozen, *costs, stopped]


def _figure(value: float | None, missing: str = UNKNOWN) -> str:
    """Three digits."""
    return missing if value is None else f"{value:.3g}"
