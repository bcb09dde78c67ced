"""`mep-hw study events`: accuracy against events where units send only what has changed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer

from mep_hw.cli import flags, lists, models, output
from mep_hw.errors import InputError
from mep_hw.studies import events_table
from mep_hw.studies.events import THRESHOLDS, EventStudy
from mep_hw.studies.events_plot import plot_events


def events(
    out: Annotated[Path, typer.Option(help="Folder for events.json and events.png.", show_default=False)],
    model: Annotated[str, typer.Option(help="Layer sizes for the bundled digits, or a file.")] = "64-24-10",
    thresholds: Annotated[
        str, typer.Option(help="Units of the payload, joined by commas; 0, where all units send, is always added.")
    ] = ",".join(map(str, THRESHOLDS)),
    seeds: Annotated[str, typer.Option(help="Seeds, joined by commas.")] = "0,1,2",
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Of every run; default: the card's.", show_default=False)
    ] = None,
    chip: Annotated[
        str, typer.Option(help="Whose energies of operations: a name or the path of a YAML file.")
    ] = "loihi1",
    threads: flags.Threads = 1,
    as_json: flags.Json = False,
) -> None:
    """What does it cost to send less? Events, accuracy, contrast and a model of the energy on the backend loihi, with
    training beside a control with frozen hidden weights. Goes on where it was cut off."""
    numbers = [_threshold(text) for text in lists.names(thresholds)]
    torch.set_num_threads(threads)
    table = EventStudy(
        lambda seed: models.build(model, seed=seed), model, epochs, lists.seeds(seeds), numbers, chip, out, output.tell
    ).run()
    plot_events(table, out / "events.png")
    if as_json:
        output.print_json({name: value for name, value in table.items() if name != "runs"})
        return
    output.rows(events_table.COLUMNS, events_table.cells(table))
    output.line("Accuracies and shares in percent; energies are a model, see docs/events.md.")


def _threshold(text: str) -> int:
    if not text.isdecimal():
        rule = "must be whole numbers of at least 0, joined by commas"
        raise InputError("study", "thresholds", text, rule=rule, fix="write for example 1,16,256")
    return int(text)
