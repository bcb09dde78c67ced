"""`mep-hw study formats`: accuracy and contrast of a quantised model against its bits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer

from mep_hw.cli import flags, lists, models, output
from mep_hw.errors import InputError
from mep_hw.files import write_atomic
from mep_hw.fpga.formats import STATE_BITS, WEIGHT_BITS
from mep_hw.studies import formats_table
from mep_hw.studies.formats import TRAINING, FormatStudy
from mep_hw.studies.formats_plot import plot_formats

BITS = range(2, 33)


def formats(
    out: Annotated[Path, typer.Option(help="Folder for formats.json, .md and .png.", show_default=False)],
    model: Annotated[str, typer.Option(help="Layer sizes, or a file.")] = "784-256-10",
    data: Annotated[str, typer.Option(help="mnist or digits.")] = "mnist",
    epochs: Annotated[int, typer.Option(min=1, help="Of training.")] = TRAINING["epochs"],
    seed: Annotated[int, typer.Option(min=0, help="Of weights, training and held-out samples.")] = 0,
    state_bits: Annotated[str, typer.Option(help="Grid, joined by commas.")] = ",".join(map(str, STATE_BITS)),
    weight_bits: Annotated[str, typer.Option(help="Grid, joined by commas.")] = ",".join(map(str, WEIGHT_BITS)),
    threads: flags.Threads = 1,
    as_json: flags.Json = False,
) -> None:
    """What do fewer bits cost? Trains a model in float, quantises it for an FPGA, and measures accuracy and contrast
    over bits of states and of weights. Goes on where it was cut off."""
    grid = _bits("state_bits", state_bits), _bits("weight_bits", weight_bits)
    torch.set_num_threads(threads)
    table = FormatStudy(
        lambda s: models.build(model, seed=s), model, data, epochs, seed, *grid, out, output.tell
    ).run()  # fmt: skip
    plot_formats(table, out / "formats.png")
    write_atomic(out / "formats.md", formats_table.markdown(table).encode())
    if as_json:
        output.print_json({name: value for name, value in table.items() if name != "runs"})
        return
    output.rows(formats_table.FORMS, formats_table.form_cells(table))
    output.rows(formats_table.PAIRS, formats_table.pair_cells(table))
    output.line("Accuracies and changed answers in percent.")


def _bits(field: str, text: str) -> list[int]:
    words = lists.names(text)
    if not all(word.isdecimal() and int(word) in BITS for word in words):
        rule = f"must be whole numbers from {BITS[0]} to {BITS[-1]}, joined by commas"
        raise InputError("study", field, text, rule=rule, fix="write for example 8,12,16")
    return [int(word) for word in words]
