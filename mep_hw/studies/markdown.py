"""Tables as pages on GitHub have them."""

from __future__ import annotations

from collections.abc import Sequence


def as_markdown(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A head of `columns` and a row for every one of `lines`."""
    head = [" | ".join(columns), *(" | ".join(line) for line in lines)]
    shown = [f"| {line} |" for line in head]
    return "\n".join([shown[0], f"|{'|'.join(['---'] * len(columns))}|", *shown[1:]])
