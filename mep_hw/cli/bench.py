"""`mep-hw bench`: measurements of the toolkit itself: a step against backpropagation, rules, arrays, a GPU."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import torch
import typer

from mep_hw.cli import flags, models, output
from mep_hw.cli.bench_gpu import gpu
from mep_hw.studies.crossbar_cost import crossbar_costs
from mep_hw.studies.environment import environment
from mep_hw.studies.rule_cost import rule_costs
from mep_hw.studies.speed import measure_speed

bench = typer.Typer(
    epilog="Examples:\n\nmep-hw bench speed --model 784-512-10 --threads 1\n\nmep-hw bench rules --size 1024 --rank 32"
)


@bench.callback()
def root() -> None:
    """Measure the toolkit itself."""


@bench.command()
def speed(
    model: Annotated[str, typer.Option(help="Layer sizes, or a YAML file.")] = "784-512-10",
    batch: Annotated[int, typer.Option(min=1, help="Samples per step.")] = 64,
    blocks: Annotated[int, typer.Option(min=2, help="Timed blocks per side; times are medians over them.")] = 40,
    threads: flags.Threads = 1,
    seed: flags.Seed = 0,
    as_json: flags.Json = False,
) -> None:
    """Time a training step against backpropagation through the same layers."""
    torch.set_num_threads(threads)
    row = asdict(measure_speed(models.build(model, seed=seed), batch=batch, blocks=blocks, seed=seed))
    result = row | {"environment": environment()}
    if as_json:
        output.print_json(result)
    else:
        output.pairs(row.items())


@bench.command()
def rules(
    size: Annotated[int, typer.Option(min=1, help="The coupling is size x size.")] = 1024,
    rank: Annotated[int, typer.Option(min=1, help="Of rule dion.")] = 32,
    batch: Annotated[int, typer.Option(min=1, help="Samples behind a contrast.")] = 64,
    rounds: Annotated[int, typer.Option(min=2, help="Timed steps of each rule, in turn.")] = 7,
    threads: flags.Threads = 1,
    as_json: flags.Json = False,
) -> None:
    """Time one step of every rule; ratios are to Muon by exact SVD."""
    torch.set_num_threads(threads)
    table = rule_costs(size, batch, rank, rounds)
    _print(table, {"size": size, "rank": rank, "batch": batch, "rounds": rounds}, as_json)


@bench.command()
def crossbar(
    size: Annotated[int, typer.Option(min=1, help="The coupling is size x size.")] = 512,
    batch: Annotated[int, typer.Option(min=1, help="States per read, outer products per update.")] = 64,
    tile: Annotated[int, typer.Option(min=1, help="Side of the arrays of the last product.")] = 128,
    rounds: Annotated[int, typer.Option(min=2, help="Timed calls of each kind, in turn.")] = 101,
    threads: flags.Threads = 1,
    as_json: flags.Json = False,
) -> None:
    """Time noisy products through arrays and pulsed updates; ratios are to the plain float32 product."""
    torch.set_num_threads(threads)
    table = crossbar_costs(size, batch, tile, rounds)
    _print(table, {"size": size, "batch": batch, "tile": tile, "rounds": rounds, "threads": threads}, as_json)


bench.command()(gpu)


def _print(rows: list[dict[str, Any]], settings: dict[str, int], as_json: bool) -> None:
    """The rows of a comparison; all have the same keys."""
    if as_json:
        output.print_json({"settings": settings, "rows": rows, "environment": environment()})
    else:
        output.rows(tuple(rows[0]), [list(row.values()) for row in rows])
