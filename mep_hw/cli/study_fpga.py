"""`mep-hw study fpga`: time and cells of a node against P."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mep_hw.cli import flags, lists, models, output
from mep_hw.errors import InputError
from mep_hw.files import write_atomic
from mep_hw.studies import fpga_nodes_table
from mep_hw.studies.fpga_nodes import LANES, NodeStudy
from mep_hw.studies.fpga_nodes_plot import plot_nodes

MODEL = "784-256-10"


def fpga(
    out: Annotated[Path, typer.Option(help="Folder for nodes-MODEL.json, .md and .png.", show_default=False)],
    model: Annotated[str, typer.Option(help="Layer sizes.")] = MODEL,
    lanes: Annotated[str, typer.Option(help="Weights read at once, joined by commas.")] = ",".join(map(str, LANES)),
    learning: Annotated[
        str | None, typer.Option(help="Those that are measured with learning on the chip, too.", show_default=False)
    ] = None,
    route: Annotated[bool, typer.Option(help="Place and route for an ECP5, for its clock; takes longest.")] = True,
    as_json: flags.Json = False,
) -> None:
    """How fast is a node on an FPGA, and what does it take? Simulates it, synthesises it with yosys, and routes it for
    an ECP5 where nextpnr is installed. Goes on where it was cut off."""
    numbers = _lanes("lanes", lanes)
    learners = [] if learning is None else _lanes("learning", learning)
    study = NodeStudy(models.build(model, seed=0), model, numbers, learners, route, out, output.tell)
    table = study.run()
    plot_nodes(table, out / f"nodes-{model}.png")
    write_atomic(out / f"nodes-{model}.md", fpga_nodes_table.markdown(table).encode())
    if as_json:
        output.print_json({name: value for name, value in table.items() if name != "runs"})
        return
    output.rows(fpga_nodes_table.SPEED, fpga_nodes_table.speed_cells(table))
    output.rows(fpga_nodes_table.CELLS, fpga_nodes_table.cell_cells(table))


def _lanes(field: str, text: str) -> list[int]:
    words = lists.names(text)
    if not all(word.isdecimal() and int(word) for word in words):
        rule = "must be whole numbers of at least 1, joined by commas"
        raise InputError("study", field, text, rule=rule, fix="write for example 2,8")
    return [int(word) for word in words]
