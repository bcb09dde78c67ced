"""`mep-hw bench gpu`: is the GPU backend right, and how fast; one command, one file.

It needs no more than torch with its own Triton, numpy, scipy, pydantic, PyYAML, rich, typer and safetensors, so that it
can run from a checkout on a machine without a network.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console

from mep_hw import machine
from mep_hw.cards.changed import changed
from mep_hw.cli import flags, models, output
from mep_hw.errors import InputError
from mep_hw.files import require_writable, write_atomic
from mep_hw.model import Model, convnet, mlp
from mep_hw.studies.environment import environment

BROKEN = 1  # exit code when a check failed
BATCHES = (64, 4096, 1024, 256)  # in the order of what would be missed most
SIDE, COUNT = 8192, 2**28  # of the product and of the copy that set the ceilings: large enough to reach them
TINY = 64, 2**12  # the same in the interpreter, where nothing is fast


def gpu(
    model: Annotated[
        list[str] | None,
        typer.Option(help="Layer sizes or a YAML file; may be given again. Default: five of them.", show_default=False),
    ] = None,
    batch: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Samples per step; may be given again. Default: 64 to 4096.", show_default=False),
    ] = None,
    operands: Annotated[str, typer.Option(help="Number format of products: fp32, tf32 or bf16.")] = "tf32",
    minutes: Annotated[float, typer.Option(min=0.0, help="After so many no further row is begun.")] = 5.5,
    out: Annotated[Path, typer.Option(help="File for the results.")] = Path("gpu-bench.json"),
    as_json: flags.Json = False,
) -> None:
    """Check the GPU backend against float64 and time its training steps; writes a result file."""
    try:
        from mep_hw.kernels.place import interpreted, place
    except ModuleNotFoundError:
        rule, fix = "needs triton, which is not installed", 'run pip install "mep-hw[gpu]"'
        raise InputError("bench gpu", rule=rule, fix=fix) from None
    from mep_hw.studies.gpu_checks import checks  # these need triton, too
    from mep_hw.studies.gpu_speed import Plan, measure
    from mep_hw.studies.roofline import ceilings

    require_writable(out.parent)
    card = changed(machine.cards("gpu")[0], {"gpu.operands": operands})
    where = torch.device(place(card))
    if interpreted() and (model is None or batch is None):
        rule, fix = "is needed in the interpreter, which would take days for the usual ones", "try 12-16-10 and 8"
        raise InputError("bench gpu", "--model and --batch", rule=rule, fix=fix)
    chosen = _usual() if model is None else [models.build(name, seed=0) for name in model]
    start = time.monotonic()
    result: dict[str, Any] = {"settings": {"operands": operands, "minutes": minutes, "interpreted": interpreted()}}
    result |= {"checks": [], "ceilings": None, "rows": [], "left_out": [], "environment": environment()}

    def keep() -> None:  # whatever comes next may fail
        write_atomic(out, (json.dumps(result, indent=1, allow_nan=False) + "\n").encode())

    with Console(stderr=True).status("bench gpu: checks") as status:
        for check in checks(card):
            result["checks"].append(asdict(check) | {"passed": check.passed})
            keep()
        status.update("bench gpu: ceilings")
        roof = ceilings(where, operands, *(TINY if interpreted() else (SIDE, COUNT)))
        result["ceilings"] = asdict(roof)
        for row in measure(Plan(chosen, batch or BATCHES, start, start + 60 * minutes), card, roof, result["left_out"]):
            result["rows"].append(asdict(row))
            keep()
            status.update(f"bench gpu: {row.model}, batch {row.batch} done")
    keep()
    if as_json:
        output.print_json(result)
    else:
        for table in (result["checks"], result["rows"]):
            if table:
                output.rows(tuple(table[0]), [list(row.values()) for row in table])
        output.pairs([*asdict(roof).items(), ("left_out", result["left_out"]), ("written_to", str(out))])
    if not all(check["passed"] for check in result["checks"]):
        raise typer.Exit(BROKEN)


def _usual() -> list[Model]:
    """Two of the literature, a wide one, a deep one, and one with convolutions."""
    return [
        mlp(784, 512, 10), mlp(784, 512, 512, 10), mlp(784, 2048, 2048, 10), mlp(784, *[512] * 8, 10),
        convnet((1, 28, 28), (32, 64), kernel=5),
    ]  # fmt: skip
