"""`mep-hw study programming`: what training costs in programming time, energy and pulses, by rule, form and device."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer

from mep_hw.cli import flags, lists, output
from mep_hw.errors import InputError
from mep_hw.studies import programming_table
from mep_hw.studies.named import find
from mep_hw.studies.programming import FINALISTS, ProgrammingStudy, best_on_digits
from mep_hw.studies.programming_plot import plot_programming
from mep_hw.studies.programming_variants import DEVICES, ON_MNIST, TASKS, VARIANTS, with_arrays


def programming(
    task: Annotated[str, typer.Option(help=f"Model and data: {' or '.join(t.name for t in TASKS)}.")],
    out: Annotated[Path, typer.Option(help="Folder for programming-TASK.json and .png.", show_default=False)],
    hours: Annotated[float, typer.Option(min=0, help="Start no run after this time; the next call goes on.")] = 6.0,
    backend: flags.Backend = "crossbar",
    devices: Annotated[
        str | None,
        typer.Option(
            help=f"Of {', '.join(d.name for d in DEVICES)}; default: all, on MNIST {' and '.join(ON_MNIST)}.",
            show_default=False,
        ),
    ] = None,
    subjects: Annotated[
        str | None,
        typer.Option(
            "--variants",
            help=f"Of {', '.join(v.name for v in VARIANTS)}; default: all, or the {FINALISTS} best on the digits.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds, joined by commas.")] = "0,1,2",
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Of every run but those of tuning; default: the task's.", show_default=False),
    ] = None,
    threads: flags.Threads = 1,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the tables as pages on GitHub have them.")
    ] = False,
    as_json: flags.Json = False,
) -> None:
    """Which rule and form reach an accuracy with the least programming time, energy and pulses? On every device, each
    at its best learning rate, beside a control with frozen hidden weights. Goes on where it was cut off.

    With --hours 0 nothing is run, and the tables of what there is are printed.
    """
    if as_json and as_markdown:
        raise InputError("study", "markdown", True, rule="stands beside json", fix="give one of them")
    numbers = lists.seeds(seeds)
    (chosen,) = find("task", [task], TASKS)
    small = chosen.name == "digits"
    if devices is None:
        cells = list(DEVICES) if small else find("devices", ON_MNIST, DEVICES)
    else:
        cells = find("devices", lists.names(devices), DEVICES)
    if subjects is None and small:
        rivals = list(VARIANTS)
    else:
        names = best_on_digits(out) if subjects is None else lists.names(subjects)
        rivals = find("variants", names, VARIANTS)
    torch.set_num_threads(threads)
    table = ProgrammingStudy(
        chosen if epochs is None else replace(chosen, epochs=epochs), with_arrays(backend), (rivals, cells), numbers,
        out, output.tell, hours,
    ).run()  # fmt: skip
    plot_programming(table, out / f"programming-{task}.png")
    if as_json:
        output.print_json({name: value for name, value in table.items() if name != "runs"})
        return
    if as_markdown:
        output.line(programming_table.markdown(table))
        return
    output.rows(programming_table.COLUMNS, programming_table.cells(table))
    output.rows(programming_table.WINNERS, programming_table.winner_cells(table))
    if table["choices"]:
        output.rows(programming_table.CHOICES, programming_table.choice_cells(table))
