"""`mep-hw backends` and `mep-hw devices`: what there is, and `show NAME`: one card, field by field with its meaning.

`devices show --plot` draws its pulse staircase; `devices fit` makes a card, see `mep_hw.cli.fit`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel

from mep_hw.cards import Known, Quantity, backend_names, device_names, load_backend, load_device
from mep_hw.cards.schema import Card
from mep_hw.cells.staircase import draw_staircase, staircase
from mep_hw.cli import flags, output
from mep_hw.cli.fit import fit
from mep_hw.errors import InputError
from mep_hw.files import write_atomic


def _commands(
    kind: str, names: Callable[[], list[str]], load: Callable[[str], Card], columns: Sequence[str], help: str
) -> typer.Typer:
    """The list of one kind of card; `columns` are the fields that it shows."""
    app = typer.Typer(help=help, epilog=f"Examples:\n\nmep-hw {kind}\n\nmep-hw {kind} show {names()[0]}")

    def listing(ctx: typer.Context, as_json: flags.Json = False) -> None:
        if ctx.invoked_subcommand is not None:
            if as_json:
                fix = f"write mep-hw {kind} {ctx.invoked_subcommand} NAME --json"
                raise InputError(kind, "--json", rule="belongs to the command after it", fix=fix)
            return
        cards = [load(name).model_dump(mode="json", include=set(columns)) for name in names()]
        if as_json:
            output.print_json({kind: cards})
        else:
            output.rows(columns, [[card[column] for column in columns] for card in cards])

    app.callback(invoke_without_command=True)(listing)
    return app


def _print(card: Card, as_json: bool) -> None:
    if as_json:
        output.print_json(card.model_dump(mode="json"))
    else:
        output.line(f"{card.name}: {card.summary}")
        output.rows(("field", "value", "meaning"), _fields(card))


def _fields(block: BaseModel, prefix: str = "") -> Iterator[tuple[str, object, str]]:
    """Dotted name, value and meaning of every field of a card; the source of a quantity is told with its meaning."""
    for name, info in type(block).model_fields.items():
        value, shown, meaning = getattr(block, name), prefix + (info.alias or name), info.description or ""
        if isinstance(value, Quantity | Known):
            yield shown, f"{_exact(value.value)} ({value.unit})", f"{meaning}; {value.source}"
        elif isinstance(value, BaseModel):
            yield from _fields(value, f"{shown}.")
        else:
            yield shown, _exact(value), meaning


def _exact(value: object) -> object:
    """Numbers of a card are shown in full, unlike those of a result."""
    return "null" if value is None else repr(value) if isinstance(value, float) else value


Name = Annotated[str, typer.Argument(help="A name from the list, or the path of a card.", show_default=False)]

backends = _commands(
    "backends", backend_names, load_backend, ("name", "summary", "agrees_with", "device", "write_modes"),
    "List the machines that a model can be trained on.",
)  # fmt: skip
devices = _commands(
    "devices", device_names, load_device, ("name", "summary", "agrees_with"),
    "List the memory cells that a backend can be given.",
)  # fmt: skip


@backends.command("show")
def show_backend(name: Name, as_json: flags.Json = False) -> None:
    """Print one card with the meaning of its fields."""
    _print(load_backend(name), as_json)


@devices.command("show")
def show_device(
    name: Name,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the pulse staircase of its cells into this PNG.", show_default=False)
    ] = None,
    as_json: flags.Json = False,
) -> None:
    """Print one card with the meaning of its fields."""
    card = load_device(name)
    if plot is not None:
        write_atomic(plot, draw_staircase(card, staircase(card)))
    _print(card, as_json)


devices.command()(fit)
