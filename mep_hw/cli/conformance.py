"""`mep-hw conformance`: does a backend keep the contract and the bars of its card? Exit code 1 when a check fails."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mep_hw.cli import flags, output
from mep_hw.conformance import CHECKS, Report, run

BROKEN = 1  # exit code when a check failed: neither done nor bad input
MARKS = {"passed": "[green]passed[/]", "failed": "[red]failed[/]", "unsupported": "[yellow]unsupported[/]"}


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
    with Console(stderr=True).status("conformance") as status:

        def tell(name: str) -> None:
            status.update(f"{name}: {CHECKS[name].meaning}")

        report = run(backend, check or None, unsupported=unsupported, on_check=tell)
    if as_json:
        output.print_json(report.as_dict())
    else:
        _show(report, output.console(markup=True))
    if not report.ok:
        raise typer.Exit(BROKEN)


def _show(report: Report, console: Console) -> None:
    """One row per check; under a failed one, every value that missed its bar."""
    table = Table("check", "result", "measured", "seconds", "meaning", title=f"backend {report.backend}")
    for outcome in report.outcomes:
        numbers = (str(len(outcome.findings)), f"{outcome.seconds:.1f}") if outcome.findings else ("", "")
        known = CHECKS.get(outcome.check)  # models that are left out have a row, too
        table.add_row(outcome.check, MARKS[outcome.status], *numbers, known.meaning if known else "")
    console.print(table)
    for outcome in report.outcomes:
        if outcome.status == "failed":
            console.print(f"[red]{outcome.check}[/]")
            for line in outcome.complaints:
                console.print(f"  {escape(line)}")
        elif outcome.status == "unsupported":
            console.print(f"[yellow]{outcome.check}[/] unsupported: {escape(outcome.reason)}")
