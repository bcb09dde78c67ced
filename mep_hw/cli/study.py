"""`mep-hw study`: experiments whose results are worth keeping, written with settings, seeds, commit and machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.progress import track

from mep_hw.cli import flags, lists, models, output
from mep_hw.cli.options import merged
from mep_hw.cli.study_cluster import cluster
from mep_hw.cli.study_events import events
from mep_hw.cli.study_formats import formats
from mep_hw.cli.study_fpga import fpga
from mep_hw.cli.study_nir import nir_readers
from mep_hw.cli.study_programming import programming
from mep_hw.cli.train import start
from mep_hw.errors import InputError
from mep_hw.files import require_writable
from mep_hw.studies import nonidealities_table, rules_table
from mep_hw.studies.accuracy import accuracy_over_seeds
from mep_hw.studies.error_sources import SOURCES
from mep_hw.studies.named import find
from mep_hw.studies.nonidealities import NonidealityStudy
from mep_hw.studies.nonidealities_plot import plot_nonidealities
from mep_hw.studies.rule_variants import TASKS, variants
from mep_hw.studies.rules import RuleStudy
from mep_hw.studies.rules_plot import plot_rules
from mep_hw.studies.saved_runs import write_table
from mep_hw.studies.spiking import SpikingStudy
from mep_hw.studies.spiking_plot import plot_spiking
from mep_hw.studies.wires import APPROXIMATIONS, LARGEST, wire_errors
from mep_hw.studies.wires_plot import plot_wires
from mep_hw.training.run import Run

study = typer.Typer(
    epilog="Examples:\n\nmep-hw study accuracy --config docs/results/mnist/784-1024-10.yaml --out runs --seeds 0,1,2"
    "\n\nmep-hw study rules --task digits --out runs --hours 0.5"
    "\n\nmep-hw study wires --out runs"
    "\n\nmep-hw study nonidealities --out runs --seeds 0 --sources phase-offset,stuck"
    "\n\nmep-hw study spiking --out runs --seeds 0"
    "\n\nmep-hw study programming --task digits --out runs --devices ecram,ideal --seeds 0"
    "\n\nmep-hw study events --out runs --thresholds 16,64 --seeds 0"
    "\n\nmep-hw study formats --out runs"
    "\n\nmep-hw study cluster --out runs"
    "\n\nmep-hw study fpga --model 64-24-10 --lanes 4,8 --learning 8 --out runs",
    no_args_is_help=True,
)


study.command()(programming)
study.command()(events)
study.command()(formats)
study.command()(cluster)
study.command()(fpga)
study.command("nir")(nir_readers)


@study.callback()
def root() -> None:
    """Experiments whose results are worth keeping."""


@study.command()
def accuracy(
    config: Annotated[Path, typer.Option(help="Settings as for train --config.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for the table and each seed's files.", show_default=False)],
    seeds: Annotated[str, typer.Option(help="Seeds, joined by commas.")] = "0,1,2",
    as_json: flags.Json = False,
) -> None:
    """Train one configuration with several seeds; the last epoch counts. Goes on where a former call was cut off."""
    numbers = lists.seeds(seeds)
    merged(config, {})  # a wrong file is refused before the folder is made

    def train(seed: int, checkpoint: Path) -> Run:
        return start(merged(config, {"seed": seed, "resume": True}), checkpoint)

    table = accuracy_over_seeds(config.stem, train, numbers, out)
    if as_json:
        output.print_json(table)
        return
    rows = [[row["seed"], row["test_error"], row["frozen_test_error"], row["seconds"]] for row in table["rows"]]
    output.rows(("seed", "test error", "frozen", "seconds"), rows)
    output.pairs([("mean test error", table["mean_test_error"]), ("spread", table["spread"])])


@study.command()
def rules(
    task: Annotated[str, typer.Option(help=f"Model and data: {' or '.join(TASKS)}.")],
    out: Annotated[Path, typer.Option(help="Folder for the table and its plots.", show_default=False)],
    hours: Annotated[float, typer.Option(min=0, help="Start no run after this time; the next call goes on.")] = 6.0,
    threads: flags.Threads = 1,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the table as pages on GitHub have it.")
    ] = False,
    as_json: flags.Json = False,
) -> None:
    """Compare all rules, free and bounded, each at its best learning rate. Goes on where a former call stopped.

    With --hours 0 nothing is run, and the table of what there is is printed.
    """
    if as_json and as_markdown:
        raise InputError("study", "markdown", True, rule="stands beside json", fix="give one of them")
    torch.set_num_threads(threads)
    table = RuleStudy(task, out, output.tell, hours).run(variants())
    plot_rules(table, out / f"rules-{task}.png")
    if as_json:
        output.print_json({"rows": table["rows"]})
        return
    if as_markdown:
        output.line(rules_table.markdown(table))
        return
    output.rows(rules_table.COLUMNS, rules_table.cells(table))
    output.line("Test errors in percent. Edge: a rate beyond the five may be better.")
    if missing := rules_table.missing(table):
        output.line(f"Not finished: {'; '.join(missing)}")


@study.command()
def wires(
    out: Annotated[Path, typer.Option(help="Folder for wires.json and wires.png.", show_default=False)],
    sizes: Annotated[
        str, typer.Option(help="Lines of the square arrays, joined by commas.")
    ] = "32,48,64,96,128,192,256",
    as_json: flags.Json = False,
) -> None:
    """Map the error of every approximation of the wires over the size of arrays and the resistance of wires."""
    numbers = [_size(text) for text in sizes.split(",")]
    require_writable(out)
    shown = Console(stderr=True)
    table = wire_errors(track(numbers, "arrays", console=shown, transient=True, disable=not shown.is_terminal))
    write_table(out / "wires.json", table)
    plot_wires(table, out / "wires.png")
    if as_json:
        output.print_json(table)
        return
    columns = ("cells", "size", "ohm_siemens", "load", *APPROXIMATIONS)
    output.rows(columns, [[row[column] for column in columns] for row in table["rows"]])
    output.pairs(table["worst_inside"].items())


@study.command()
def nonidealities(
    out: Annotated[Path, typer.Option(help="Folder for nonidealities.json and .png.", show_default=False)],
    model: Annotated[str, typer.Option(help="Layer sizes for the bundled digits, or a file.")] = "64-24-10",
    epochs: Annotated[int, typer.Option(min=1, help="Of every run.")] = 8,
    seeds: Annotated[str, typer.Option(help="Seeds, joined by commas.")] = "0,1,2",
    sources: Annotated[
        str | None, typer.Option(help=f"Of {', '.join(s.name for s in SOURCES)}; default: all.", show_default=False)
    ] = None,
    threads: flags.Threads = 1,
    as_json: flags.Json = False,
) -> None:
    """Train on a crossbar with one source of error at a time: which costs how much? Goes on where it was cut off."""
    chosen = SOURCES if sources is None else find("sources", lists.names(sources), SOURCES)
    numbers = lists.seeds(seeds)
    torch.set_num_threads(threads)
    table = NonidealityStudy(
        lambda seed: models.build(model, seed=seed), model, epochs, numbers, chosen, out, output.tell
    ).run()
    plot_nonidealities(table, out / "nonidealities.png")
    if as_json:
        output.print_json({name: value for name, value in table.items() if name != "runs"})
        return
    output.rows(nonidealities_table.COLUMNS, nonidealities_table.cells(table))
    output.line("Accuracies in percent. Points lost: against the base line's run of the same seed.")


@study.command()
def spiking(
    out: Annotated[Path, typer.Option(help="Folder for spiking.json and .png.", show_default=False)],
    model: Annotated[str, typer.Option(help="Layer sizes for the bundled digits, or a file.")] = "64-24-10",
    epochs: Annotated[int, typer.Option(min=1, help="Of every run.")] = 8,
    seeds: Annotated[str, typer.Option(help="Seeds, joined by commas.")] = "0,1,2",
    threads: flags.Threads = 1,
    as_json: flags.Json = False,
) -> None:
    """Train with spiking units, simulated in brian2, and with the rate model. Goes on where it was cut off."""
    numbers = lists.seeds(seeds)
    torch.set_num_threads(threads)
    table = SpikingStudy(lambda seed: models.build(model, seed=seed), model, epochs, numbers, out, output.tell).run()
    plot_spiking(table, out / "spiking.png")
    if as_json:
        output.print_json({name: value for name, value in table.items() if name != "runs"})
        return
    rows = table["rows"]
    output.rows(tuple(rows[0]), [list(row.values()) for row in rows])


def _size(text: str) -> int:
    if not text.strip().isdecimal() or not 2 <= int(text) <= LARGEST:
        rule = f"must be whole numbers from 2 to {LARGEST}, joined by commas"
        raise InputError("study", "sizes", text, rule=rule, fix="write for example 32,64")
    return int(text)
