"""`mep-hw evaluate`: the accuracy of a saved model on any backend."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

import mep_hw
from mep_hw.cli import flags, models, output
from mep_hw.errors import InputError

UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "day": 86400.0, "days": 86400.0, "year": 365.25 * 86400.0}


def duration(text: str) -> float:
    """Seconds of a time such as 90s, 1.5h or 1day.

    Raises:
        InputError: no number of 0 or above, or an unknown unit.
    """
    found = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*([a-z]+)", text.strip())
    if found is None or found[2] not in UNITS:
        rule = f"must be a number, 0 or above, and one of {', '.join(UNITS)}"
        raise InputError("evaluate", "after", text, rule=rule, fix="write 1day, for example")
    return float(found[1]) * UNITS[found[2]]


def evaluate(
    checkpoint: Annotated[
        Path, typer.Option(help="File written by train --out or Model.save, or a NIR file.", show_default=False)
    ],
    data: Annotated[str, typer.Option(help="digits or mnist; the test part counts.")] = "digits",
    backend: flags.Backend = "cpu",
    device: flags.Device = None,
    seed: flags.Seed = 0,
    after: Annotated[
        str | None, typer.Option(help="Time between programming and use: 30s, 1h, 1day ...", show_default=False)
    ] = None,
    compensate: Annotated[bool, typer.Option(help="Make up for drift by one gain per coupling.")] = False,
    as_json: flags.Json = False,
) -> None:
    """Settle every test sample freely and count the right answers."""
    result = mep_hw.evaluate(
        models.saved(checkpoint), data, backend=backend, device=device, seed=seed,
        after=None if after is None else duration(after), compensate=compensate,
    ).as_dict()  # fmt: skip
    if as_json:
        output.print_json(result)
    else:
        output.pairs(result.items())
