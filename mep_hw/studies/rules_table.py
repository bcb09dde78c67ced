"""The table of a rule study, for the terminal and for the pages of docs/results: errors in percent, best first.

A variant is in it once all seeds of the tuning budget are done; a learning rate at the end of its five is marked.
"""

from __future__ import annotations

import statistics
from typing import Any

from mep_hw.studies.markdown import as_markdown, percent

COLUMNS = ("variant", "lr", "tuning budget: mean (seeds)", "1 epoch", "3 epochs", "10 epochs")


def long_means(row: dict[str, Any]) -> list[float | None]:
    """Mean error over the seeds there are, after 1, 3 and 10 epochs; None where the variant did not get that far."""
    found = row["long_errors"]
    return [None if not found else statistics.mean(run[epoch] for run in found) for epoch in ("1", "3", "10")]


def ranked(table: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows that are in the table, by their mean error."""
    return sorted((row for row in table["rows"] if row["short_mean"] is not None), key=lambda row: row["short_mean"])


def cells(table: dict[str, Any]) -> list[list[str]]:
    """One list per variant, for `COLUMNS`."""
    return [_cells(row, len(table["settings"]["seeds"])) for row in ranked(table)]


def missing(table: dict[str, Any]) -> list[str]:
    """Names of the variants that are not in the table yet."""
    return [row["variant"] for row in table["rows"] if row["short_mean"] is None]


def markdown(table: dict[str, Any]) -> str:
    """The table as GitHub writes it."""
    return as_markdown(COLUMNS, cells(table))


def _cells(row: dict[str, Any], seeds: int) -> list[str]:
    edge = " (edge)" if row["lr_at_the_edge"] else ""
    short = f"{percent(row['short_mean'])} ({', '.join(map(percent, row['short_errors']))})"
    long = ["" if mean is None else percent(mean) for mean in long_means(row)]
    done = len(row["long_errors"])
    if 0 < done < seeds:
        long[-1] += f" ({done} of {seeds} seeds)"
    return [row["variant"], f"{row['lr']:g}{edge}", short, *long]
