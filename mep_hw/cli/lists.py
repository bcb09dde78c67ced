"""Options that hold several values, joined by commas."""

from __future__ import annotations

from mep_hw.errors import InputError


def names(text: str) -> list[str]:
    """Words without the spaces around them."""
    return [name.strip() for name in text.split(",")]


def seeds(text: str) -> list[int]:
    """Whole numbers.

    Raises:
        InputError: one is none.
    """
    for name in names(text):
        if not name.isdecimal():
            rule = "must be whole numbers joined by commas"
            raise InputError("study", "seeds", name, rule=rule, fix="write for example 0,1,2")
    return [int(name) for name in names(text)]
