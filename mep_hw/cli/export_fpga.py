"""`mep-hw export hls` and `mep-hw export rtl`: a model as projects for FPGAs."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor

from mep_hw.cli import flags, models, output
from mep_hw.data import as_data, check
from mep_hw.errors import InputError
from mep_hw.fpga import assemble, folder, native, oracle, tools
from mep_hw.fpga.assemble import Kind
from mep_hw.fpga.cluster.partition import on_nodes
from mep_hw.fpga.formats import STATE_BITS, WEIGHT_BITS, Choice, Goal, Phases, choose
from mep_hw.fpga.numbers import whole_beta
from mep_hw.fpga.quantised import SUM_BITS, learning_of, quantised
from mep_hw.fpga.spec import WORD, Spec, Values
from mep_hw.model import Model

COSINE = 0.98  # of contrasts with `cpu`, where nudged phases are of use
LEARNING_BITS = (12, 14, 16)  # of weights that learn: with fewer, most updates are a matter of chance
RANDOM = "random"
EPILOG = """Examples:

mep-hw export {kind} runs/a/checkpoint.safetensors --out build/

mep-hw export {kind} 64-24-10 --out build/ --nodes 2 --lanes 8 --learn --json"""

Subject = Annotated[str, typer.Argument(help="Checkpoint, NIR file, YAML file or layer sizes.", show_default=False)]
Out = Annotated[Path, typer.Option(help="Folder to write; new, or empty.", show_default=False)]
Nodes = Annotated[int, typer.Option(min=1, help="Boards that share the layers.")]
Lanes = Annotated[
    int | None,
    typer.Option(min=1, help="Weights read at once; default: at most 16, what divides all layers.", show_default=False),
]
Learn = Annotated[bool, typer.Option("--learn", help="Weights learn on the chip.")]
Inference = Annotated[
    bool, typer.Option("--inference", help="Only the free phase is of use: fewer bits, and contrasts may be wrong.")
]
Rate = Annotated[
    float | None, typer.Option(help="Of --learn: learning rate, 2 beta times a power of two.", show_default=False)
]
DataOption = Annotated[
    str, typer.Option(help=f"Set to choose formats on: digits, mnist, a file, or {RANDOM} for any inputs in 0 to 1.")
]
Samples = Annotated[int, typer.Option(min=1, help="Of its training part, to choose formats on.")]
Tolerance = Annotated[float, typer.Option(min=0, max=1, help="Share of answers that quantising may change.")]
StateBits = Annotated[
    int | None, typer.Option(min=2, max=32, help="Of states; default: as few as will do.", show_default=False)
]
WeightBits = Annotated[
    int | None, typer.Option(min=2, max=32, help="Of weights; default: as few as will do.", show_default=False)
]
SumBits = Annotated[int, typer.Option(min=2, max=WORD, help="Most bits of any sum.")]
Beta = Annotated[float, typer.Option(help="Nudging strength.")]
Seed = Annotated[
    int | None,
    typer.Option(min=0, max=2**32 - 1, help="Of initial weights, for sizes and YAML.", show_default=False),
]


def command(kind: Kind) -> Callable[..., None]:
    """The command that exports projects of one kind."""

    def export(
        model: Subject, out: Out, nodes: Nodes = 1, lanes: Lanes = None, learn: Learn = False, lr: Rate = None,
        inference: Inference = False, data: DataOption = "digits", samples: Samples = 200, tolerance: Tolerance = 0.005,
        state_bits: StateBits = None, weight_bits: WeightBits = None, sum_bits: SumBits = SUM_BITS,
        beta: Beta = 0.25, seed: Seed = None, as_json: flags.Json = False,
    ) -> None:  # fmt: skip
        folder.require_new(out)
        if lr is not None and not learn:
            raise InputError("export", "lr", lr, rule="has no effect without --learn", fix="leave it out, or add it")
        if inference and learn:
            raise InputError("export", "inference", True, rule="excludes --learn", fix="leave one of them out")
        subject = models.given(model, seed, "export")
        phases = Phases(beta=beta)
        whole_beta(beta, phases.beta_fraction)
        found = choose(
            subject, *_samples(subject, data, samples),
            goal=Goal(tolerance, None if inference else COSINE, learn), phases=phases,
            state_bits=(state_bits,) if state_bits else STATE_BITS,
            weight_bits=(weight_bits,) if weight_bits else LEARNING_BITS if learn else WEIGHT_BITS,
            settle=native.settle if tools.found("g++") else oracle.settle,
            tell=_silent if as_json else output.tell,
        )  # fmt: skip
        spec, values = _specified(
            subject, found, phases, nodes, lanes, _halvings(lr, beta) if learn else None, sum_bits
        )
        chosen = found.as_dict() | {"data": data}
        files = assemble.files_of(spec, values, kind, {"model": subject.name, "formats": chosen})
        folder.write(out, files)
        result: dict[str, Any] = {
            "folder": str(out), "kind": kind, "model": subject.name, "nodes": [list(node) for node in spec.nodes],
            "lanes": spec.lanes, "learn": learn, "state_bits": found.formats.state.bits,
            "weight_bits": [form.bits for form in spec.weights], "free_steps": spec.free_steps,
            "nudged_steps": spec.nudged_steps, "widest_sum": max(sums.total for sums in spec.sums),
            "answers_changed": found.measured.changed, "files": len(files),
        }  # fmt: skip
        if as_json:
            output.print_json(result)
        else:
            output.pairs(result.items())

    export.__doc__ = f"""Write a model as {assemble.LANGUAGES[kind]}, one project per board, in fixed-point numbers."""
    return export


def _silent(_: str) -> None:
    """What was tried stands in export.json, too."""


def _samples(model: Model, data: str, count: int) -> tuple[Tensor, Tensor]:
    """Training samples and their labels."""
    if data == RANDOM:
        generator = torch.Generator().manual_seed(0)
        x = torch.rand((count, *model.input_shape), generator=generator)
        return x, torch.randint(model.outputs, (count,), generator=generator)
    source = check(as_data(data), input_shape=model.input_shape, outputs=model.outputs)
    return source.x[:count], source.y[:count]


def _specified(
    model: Model, found: Choice, phases: Phases, nodes: int, lanes: int | None, halvings: int | None, sum_bits: int
) -> tuple[Spec, Values]:
    formats, each = found.formats, model.depth
    learning = None
    if halvings is not None:
        learning = learning_of(formats, (halvings,) * each, (halvings,) * each, seed=0)

    spec, values = quantised(
        model, formats, free_steps=found.free_steps, nudged_steps=found.nudged_steps, beta=phases.beta,
        beta_fraction=phases.beta_fraction, step_shift=phases.step_shift, lanes=lanes, learning=learning,
        sum_bits=sum_bits,
    )  # fmt: skip
    return on_nodes(spec, nodes), values


def _halvings(lr: float | None, beta: float) -> int:
    """e of a learning rate 2 beta 2^-e; None takes an eighth of 2 beta."""
    if lr is None:
        return 3
    exact = math.log2(2 * beta / lr) if lr > 0 else math.nan
    if not exact.is_integer():
        near = 2 * beta * 2.0 ** -round(exact) if math.isfinite(exact) else beta / 4
        rule = f"must be {2 * beta:g}, that is 2 beta, times a power of two: it is a shift on the chip"
        raise InputError("export", "lr", lr, rule=rule, fix=f"take {near:g}")
    return int(exact)
