"""`mep-hw study nir`: what other projects compute with our NIR files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mep_hw.cli import flags, lists, output
from mep_hw.files import require_writable
from mep_hw.studies.markdown import as_markdown
from mep_hw.studies.nir_consumers import COLUMNS, CONSUMERS, cells, compare


def nir_readers(
    out: Annotated[Path, typer.Option(help="Folder for consumers.json.", show_default=False)],
    consumers: Annotated[str, typer.Option(help="Joined by commas.")] = ",".join(CONSUMERS),
    constraints: Annotated[
        Path | None, typer.Option(help="File for pip, to hold the build of torch.", show_default=False)
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as pages have it.")] = False,
    as_json: flags.Json = False,
) -> None:
    """Run NIR files in other projects, each in an environment of its own that is made with pip."""
    require_writable(out)
    table = compare(out, lists.names(consumers), constraints, output.tell)
    if as_json:
        output.print_json(table)
    elif markdown:
        print(as_markdown(COLUMNS, cells(table)))
    else:
        output.rows(COLUMNS, cells(table))
