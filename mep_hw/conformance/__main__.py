"""`python -m mep_hw.conformance --backend X`: exit code 0 all passed, 1 a check failed, 2 bad input."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mep_hw.conformance.checks import CHECKS
from mep_hw.conformance.report import Report
from mep_hw.conformance.suite import run
from mep_hw.errors import InputError

MARKS = {"passed": "[green]passed[/]", "failed": "[red]failed[/]", "unsupported": "[yellow]unsupported[/]"}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m mep_hw.conformance", description="Ask a backend what it promises.")
    parser.add_argument("--backend", required=True, help="name or path of a backend card")
    parser.add_argument("--check", action="append", help="only this check; may be given several times")
    parser.add_argument("--unsupported", action="store_true", help="expect the checks that the card excuses to fail")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    given = parser.parse_args(arguments)
    try:
        with Console(stderr=True).status("conformance") as status:
            report = run(
                given.backend, given.check, unsupported=given.unsupported,
                on_check=status.update,
            )  # fmt: skip
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    if given.json:
        print(json.dumps(report.as_dict()))
    else:
        show(report, Console())
    return 0 if report.ok else 1


def show(report: Report, console: Console) -> None:
    """One row per check; under a failed one, every value that missed its bar."""
    table = Table("check", "result", "measured", "seconds", "meaning", title=f"backend {report.backend}")
    for outcome in report.outcomes:
        numbers = (str(len(outcome.findings)), f"{outcome.seconds:.1f}") if outcome.findings else ("", "")
        table.add_row(outcome.check, MARKS[outcome.status], *numbers, CHECKS[outcome.check].meaning)
    console.print(table)
    for outcome in report.outcomes:
        if outcome.status == "failed":
            console.print(f"[red]{outcome.check}[/]")
            for line in outcome.complaints:
                console.print(f"  {escape(line)}")
        elif outcome.status == "unsupported":
            console.print(f"[yellow]{outcome.check}[/] unsupported: {escape(outcome.reason)}")


if __name__ == "__main__":
    sys.exit(main())
