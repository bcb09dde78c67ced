"""`mep-hw evaluate`: the accuracy of a saved model on any backend."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import mep_hw
from mep_hw.cli import flags, output


def evaluate(
    checkpoint: Annotated[Path, typer.Option(help="File written by train --out or Model.save.", show_default=False)],
    data: Annotated[str, typer.Option(help="digits or mnist; the test part counts.")] = "digits",
    backend: flags.Backend = "cpu",
    device: flags.Device = None,
    seed: flags.Seed = 0,
    as_json: flags.Json = False,
) -> None:
    """Settle every test sample freely and count the right answers."""
    result = mep_hw.evaluate(mep_hw.load(checkpoint), data, backend=backend, device=device, seed=seed).as_dict()
    if as_json:
        output.print_json(result)
    else:
        output.pairs(result.items())
