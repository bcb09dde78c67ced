"""`mep-hw gradcheck`: a machine's contrast against minus the exact gradient, layer by layer.

It reports and does not judge: how close a machine must come is in its card, and `mep-hw conformance` checks it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mep_hw.cli import flags, models, output
from mep_hw.errors import InputError
from mep_hw.gradcheck import gradient_check

MODEL = "64-24-10"


def gradcheck(
    backend: flags.Backend = "cpu",
    device: flags.Device = None,
    model: Annotated[
        str | None, typer.Option(help=f"Layer sizes, or a YAML file; default {MODEL}.", show_default=False)
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Check this trained model in place of a new one.", show_default=False)
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="digits or mnist; default: uniform inputs, random labels.", show_default=False)
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(help="Size of the batch; default: all of --data, or enough random ones.", show_default=False),
    ] = None,
    beta: Annotated[
        float | None,
        typer.Option(help="Nudging strength, > 0; default 1e-4, as trained the card's.", show_default=False),
    ] = None,
    estimator: Annotated[str, typer.Option(help="As for train.")] = "centered",
    as_trained: Annotated[
        bool, typer.Option("--as-trained", help="The machine as its card has it, not float64 settled to rounding.")
    ] = False,
    seed: flags.Seed = 0,
    as_json: flags.Json = False,
) -> None:
    """Compare the learning signal of a backend with the exact gradient, layer by layer."""
    if model is not None and checkpoint is not None:
        rule = "cannot be given beside --checkpoint"
        raise InputError("gradcheck", "model", model, rule=rule, fix="leave one of them out")
    subject = models.build(model or MODEL, seed=seed) if checkpoint is None else models.saved(checkpoint)
    result = gradient_check(
        subject, data, backend=backend, device=device, estimator=estimator, beta=beta, samples=samples, seed=seed,
        as_trained=as_trained,
    ).as_dict()  # fmt: skip
    if as_json:
        output.print_json(result)
        return
    layers = result.pop("layers")
    output.rows(("layer", "cosine", "norm ratio"), [[_digits(entry) for entry in row.values()] for row in layers])
    output.pairs((name, _digits(value)) for name, value in result.items())


def _digits(value: object) -> object:
    """Cosines and ratios differ from 1 in late digits; both are None for a layer whose gradient is zero."""
    return "zero gradient" if value is None else f"{value:.9g}" if isinstance(value, float) else value
