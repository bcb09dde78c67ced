"""Tables of studies, and how figures stand in them."""

from __future__ import annotations

from collections.abc import Sequence


def percent(share: float) -> str:
    """Without its sign, to a tenth."""
    return f"{100 * share:.1f}"


def as_markdown(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """As pages on GitHub have them: a head of `columns` and a row for every one of `lines`."""
    head = [" | ".join(columns), *(" | ".join(line) for line in lines)]
    shown = [f"| {line} |" for line in head]
    return "\n".join([shown[0], f"|{'|'.join(['---'] * len(columns))}|", *shown[1:]])
