"""`mep-hw devices fit`: a device card from measured pulses, with what it reports and writes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mep_hw.cards import DeviceCard
from mep_hw.cli import flags, output
from mep_hw.errors import InputError
from mep_hw.files import require_writable, write_atomic
from mep_hw.fit import FAMILIES, fit_card, table_card
from mep_hw.fit.cards import card_text
from mep_hw.fit.picture import draw_fit, draw_table


def fit(
    pulses: Annotated[
        Path, typer.Argument(help="CSV with cell, pulse, direction, conductance or weight; or tables' folder.")
    ],
    family: Annotated[str, typer.Option(help=f"Pulse response: {', '.join(FAMILIES)}, or table.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for card.yaml, fit.png and tables.", show_default=False)],
    name: Annotated[
        str | None, typer.Option(help="Of the card; default: the name of the folder.", show_default=False)
    ] = None,
    up: Annotated[
        str | None, typer.Option(help="In a folder of tables: stem of those for up pulses.", show_default=False)
    ] = None,
    down: Annotated[
        str | None, typer.Option(help="In a folder of tables: stem of those for down pulses.", show_default=False)
    ] = None,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="The pulses come from a simulator; the card's label says so.")
    ] = False,
    as_json: flags.Json = False,
) -> None:
    """Fit a device card to measured pulses, report what is left over, and draw data against fit."""
    called = name if name is not None else out.resolve().name
    if family == "table":
        tabled = table_card(pulses, called, up, down, simulated=simulated)
        _write(out, tabled.card, draw_table(tabled), tabled.files)
        report = tabled.report
    else:
        if up is not None or down is not None:
            raise InputError("fit", "up and down", rule="belong to --family table", fix="leave them out")
        fitted = fit_card(pulses, family, called, simulated=simulated)
        _write(out, fitted.card, draw_fit(fitted), {})
        report = fitted.report
    report = report | {"card": str(out / "card.yaml"), "plot": str(out / "fit.png")}
    if as_json:
        output.print_json(report)
    else:
        _show(report)


def _write(out: Path, card: DeviceCard, picture: bytes, files: dict[str, bytes]) -> None:
    """The card comes last, so that where it is, everything is."""
    require_writable(out)
    for name, content in {**files, "fit.png": picture, "card.yaml": card_text(card)}.items():
        write_atomic(out / name, content)


def _show(report: dict[str, Any]) -> None:
    for name in ("parameters", "residuals", "tables"):
        if rows := report.get(name):
            output.rows(list(rows[0]), [list(row.values()) for row in rows])
    output.pairs([(name, value) for name, value in report.items() if not isinstance(value, list)])
