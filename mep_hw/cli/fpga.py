"""`mep-hw fpga`: exported projects, checked with the tools of this machine."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from mep_hw.cli import flags, output
from mep_hw.fpga.checks import verify as verify_folder
from mep_hw.fpga.verify import Check

fpga = typer.Typer(help="FPGA projects.", no_args_is_help=True)


@fpga.callback()
def root() -> None:
    """Check what mep-hw export hls or rtl wrote."""


@fpga.command(epilog="Example: mep-hw fpga verify build/ --json")
def verify(
    folder: Annotated[Path, typer.Argument(help="What mep-hw export hls or rtl wrote.", show_default=False)],
    synthesis: Annotated[
        bool, typer.Option("--synthesis", help="Also synthesise with yosys, and route for ECP5; takes minutes.")
    ] = False,
    as_json: flags.Json = False,
) -> None:
    """Run every check of an export that this machine's tools allow, and say which were not run; 1 if any fails."""
    found: list[Check] = []
    for check in verify_folder(folder, synthesis=synthesis):
        if not as_json:
            output.tell(f"{check.status:8} {check.name}")
        found.append(check)
    failed = [check.name for check in found if check.status == "failed"]
    if as_json:
        count = {status: sum(check.status == status for check in found) for status in ("passed", "failed", "not run")}
        output.print_json({"folder": str(folder), **{name.replace(" ", "_"): n for name, n in count.items()},
                           "checks": [asdict(check) for check in found]})  # fmt: skip
    else:
        output.rows(("check", "status", "detail"), [(check.name, check.status, check.detail) for check in found])
    if failed:
        raise typer.Exit(1)
