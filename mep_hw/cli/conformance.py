"""`mep-hw conformance`: does a backend keep the contract and the bars of its card? Exit code 1 when a check fails."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from mep_hw.cli import flags, output

BROKEN = 1  # exit code when a check failed: neither done nor bad input


def conformance(
    backend: flags.Backend,
    check: Annotated[
        list[str] | None, typer.Option(help="Only this check; may be given again.", show_default=False)
    ] = None,
    unsupported: Annotated[
        bool, typer.Option("--unsupported", help="Run the checks that the card excuses too, and expect them to fail.")
    ] = False,
    as_json: flags.Json = False,
) -> None:
    """Check a backend against the contract that every machine keeps."""
    from mep_hw.conformance import CHECKS, run  # brings scipy.sparse, which is slow to import
    from mep_hw.conformance.__main__ import show

    with Console(stderr=True).status("conformance") as status:

        def tell(name: str) -> None:
            status.update(f"{name}: {CHECKS[name].meaning}")

        report = run(backend, check or None, unsupported=unsupported, on_check=tell)
    if as_json:
        output.print_json(report.as_dict())
    else:
        show(report, output.console(markup=True))
    if not report.ok:
        raise typer.Exit(BROKEN)
