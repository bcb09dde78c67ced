"""`mep-hw export`: a model in the form that other tools read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import nir as library
import typer

from mep_hw.cli import export_fpga, flags, models, output
from mep_hw.data import as_data, check
from mep_hw.errors import InputError
from mep_hw.export import to_nir, to_spiking_nir, write_nir
from mep_hw.export.measure import measure
from mep_hw.model import Model

DATA, SAMPLES = "digits", 200

export = typer.Typer(
    epilog="Examples:\n\nmep-hw export nir runs/a/checkpoint.safetensors --out model.nir"
    "\n\nmep-hw export nir 64-24-10 --nudge 0.5 --out nudged.nir --json",
    no_args_is_help=True,
)


@export.callback()
def root() -> None:
    """Write a model in a form that other tools read."""


for _kind in ("hls", "rtl"):
    export.command(_kind, epilog=export_fpga.EPILOG.format(kind=_kind))(export_fpga.command(_kind))


@export.command("nir")
def nir(
    model: Annotated[str, typer.Argument(help="Checkpoint, NIR file, YAML file or layer sizes.", show_default=False)],
    out: Annotated[Path, typer.Option(help="File to write, such as model.nir.", show_default=False)],
    profile: Annotated[
        Literal["rate", "spiking"], typer.Option(help="Leaky units with the model's states, or spiking ones.")
    ] = "rate",
    nudge: Annotated[
        float | None, typer.Option(help="Rate: the phase nudged with this beta, input [x; y].", show_default=False)
    ] = None,
    form: Annotated[
        Literal["matrices", "forward"] | None,
        typer.Option(
            help="Rate: convolutions as matrices (default), or as nodes with nothing sent back.", show_default=False
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help=f"Spiking: set to calibrate on; default {DATA}.", show_default=False)
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            min=1, help=f"Spiking: to calibrate on, and as many to measure; default {SAMPLES}.", show_default=False
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=2**32 - 1, help="Of initial weights, for sizes and YAML.", show_default=False),
    ] = None,
    as_json: flags.Json = False,
) -> None:
    """Write a model as a graph of the Neuromorphic Intermediate Representation (NIR)."""
    subject = models.given(model, seed, "export")
    if profile == "spiking":
        _refuse_beside("--profile spiking", nudge=nudge, form=form)
        graph, found = _spiking(subject, data or DATA, samples or SAMPLES)
    else:
        _refuse_beside("--profile rate", data=data, samples=samples)
        graph, found = (
            to_nir(subject, nudge=nudge, form=form or "matrices"),
            {"nudge": nudge, "form": form or "matrices"},
        )
    write_nir(out, graph)
    result = {"file": str(out), "bytes": out.stat().st_size, "model": subject.name, "profile": profile}
    result |= {"nodes": len(graph.nodes), "edges": len(graph.edges), **found}
    if as_json:
        output.print_json(result)
    else:
        output.pairs((name, value) for name, value in result.items() if value is not None)


def _refuse_beside(flag: str, **given: object) -> None:
    for name, value in given.items():
        if value is not None:
            raise InputError("export", name, value, rule=f"has no effect beside {flag}", fix="leave it out")


def _spiking(model: Model, data: str, samples: int) -> tuple[library.NIRGraph, dict[str, Any]]:
    """Calibrated on training samples, measured on test samples."""
    source = check(as_data(data), input_shape=model.input_shape, outputs=model.outputs)
    graph = to_spiking_nir(model, source.x[:samples])
    return graph, {
        "data": source.name,
        **measure(graph, model, source.test_x[:samples], source.test_y[:samples]).as_dict(),
    }
