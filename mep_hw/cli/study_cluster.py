"""`mep-hw study cluster`: what links between FPGAs cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import torch
import typer

from mep_hw.cli import flags, output
from mep_hw.files import require_writable, write_atomic
from mep_hw.studies.fpga_cluster import cluster_links
from mep_hw.studies.fpga_cluster_plot import cluster_markdown, plot_cluster


def cluster(
    out: Annotated[Path, typer.Option(help="Folder for cluster.json, .md and .png.", show_default=False)],
    threads: flags.Threads = 1,
    as_json: flags.Json = False,
) -> None:
    """What do links cost a cluster of FPGAs? Cycles, steps and distance to the fixed point against latency, synchronous
    and asynchronous, with jitter and lost frames, in simulated time."""
    require_writable(out)
    torch.set_num_threads(threads)
    table = json.loads(json.dumps(cluster_links(output.tell)))  # as the file has it
    write_atomic(out / "cluster.json", (json.dumps(table, indent=2) + "\n").encode())
    write_atomic(out / "cluster.md", cluster_markdown(table).encode())
    plot_cluster(table, out / "cluster.png")
    if as_json:
        output.print_json(table)
    else:
        output.line(f"{len(table['rows'])} rows in {out / 'cluster.md'}")
