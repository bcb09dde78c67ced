"""What commands print: a table for people, or one JSON object for scripts.

Where stdout is not a terminal nothing is wrapped or cut, so that names can be searched for; a line has no limit there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from rich import box
from rich.console import Console
from rich.table import Table

WIDE = 10_000  # columns, where nobody looks


def print_json(result: Mapping[str, Any]) -> None:
    """One object on one line; NaN, which is not JSON, is a fault."""
    print(json.dumps(result, allow_nan=False))


def tell(message: str) -> None:
    """A line on standard error, for those who wait."""
    print(message, file=sys.stderr, flush=True)


def pairs(content: Iterable[tuple[str, object]]) -> None:
    """Names and values below each other."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in content:
        table.add_row(name.replace("_", " "), text(value))
    console().print(table)


def rows(columns: Sequence[str], content: Iterable[Sequence[object]]) -> None:
    """A table with a head; the first column is never broken."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, name in enumerate(columns):
        first = number == 0
        table.add_column(name.replace("_", " "), no_wrap=first, overflow="fold", style="bold" if first else "")
    for row in content:
        table.add_row(*map(text, row))
    console().print(table)


def line(message: str) -> None:
    console().print(message, soft_wrap=True)


def text(value: object) -> str:
    """A value for people: four digits, "unknown" for None, words for lists and blocks."""
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        block = cast("Mapping[str, object]", value)
        return "; ".join(f"{key}: {text(entry)}" for key, entry in block.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(text, cast("Sequence[object]", value))) or "none"
    return str(value)


def console(*, markup: bool = False) -> Console:
    """Standard output: as wide as the terminal, without limit elsewhere; brackets are plain text unless `markup`."""
    return Console(width=None if sys.stdout.isatty() else WIDE, markup=markup, emoji=False, highlight=False)
