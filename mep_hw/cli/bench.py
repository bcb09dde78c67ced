"""`mep-hw bench`: measurements of the toolkit itself. `speed`: a training step against backpropagation."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import torch
import typer

from mep_hw.cli import flags, models, output
from mep_hw.studies.environment import environment

bench = typer.Typer(epilog="Examples:\n\nmep-hw bench speed --model 784-512-10 --threads 1")


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
    from mep_hw.studies.speed import measure_speed  # brings scipy.sparse, which is slow to import

    torch.set_num_threads(threads)
    row = asdict(measure_speed(models.build(model, seed=seed), batch=batch, blocks=blocks, seed=seed))
    result = row | {"environment": environment()}
    if as_json:
        output.print_json(result)
    else:
        output.pairs(row.items())
