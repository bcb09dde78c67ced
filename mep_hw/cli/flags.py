"""Options that several commands have, with one wording each."""

from __future__ import annotations

from typing import Annotated

import typer

Backend = Annotated[str, typer.Option(help="Machine: a name from mep-hw backends, or the path of a card.")]
Device = Annotated[
    str | None,
    typer.Option(help="Memory cell: a name from mep-hw devices or a path; default: the backend's.", show_default=False),
]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of everything random in the run.")]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads of torch.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
