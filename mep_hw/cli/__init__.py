"""The command line, `mep-hw`: a command reads its flags, calls one function of the package and prints what it returns.

Exit codes: 0 done; 2 bad usage or bad input, told in one line on stderr; 130 interrupted; 1 a failed conformance check
or a fault of ours, the latter with its traceback. With `--json` stdout holds one JSON object and nothing else.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import Annotated

import torch
import typer

from mep_hw import __version__
from mep_hw.cli import cards
from mep_hw.cli.bench import bench
from mep_hw.cli.conformance import conformance
from mep_hw.cli.evaluate import evaluate
from mep_hw.cli.export import export
from mep_hw.cli.fpga import fpga
from mep_hw.cli.gradcheck import gradcheck
from mep_hw.cli.loihi import loihi
from mep_hw.cli.schedule import schedule
from mep_hw.cli.study import study
from mep_hw.cli.train import train
from mep_hw.distributed import in_job
from mep_hw.errors import InputError, JobError, Notice

BAD_INPUT = 2

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def _examples(*lines: str) -> str:
    return "\n\n".join(("Examples:", *(f"mep-hw {line}" for line in lines)))


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"mep-hw {__version__}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")]


@app.callback(
    invoke_without_command=True,
    epilog=_examples("train", "train --backend reference --model 64-24-10 --control", "backends show cpu"),
)
def root(ctx: typer.Context, version: Version = False) -> None:
    """Train equilibrium networks with local learning on the hardware they are meant for."""
    torch.set_num_threads(1)  # where a command has no --threads; small layers only get slower with more
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
    elif ctx.invoked_subcommand != "train" and in_job():
        rule, fix = "would be done by every process of this job alike", "start it without torchrun"
        raise JobError(f"mep-hw {ctx.invoked_subcommand}", rule=rule, fix=fix)


app.command(
    epilog=_examples("train --model 64-24-10 --seed 1 --control", "train --data mnist --out runs/a --resume --json")
)(train)
app.command(epilog=_examples("evaluate --checkpoint runs/a/checkpoint.safetensors --data mnist"))(evaluate)
app.command(epilog=_examples("gradcheck --model 64-24-10", "gradcheck --as-trained --data digits --backend reference"))(
    gradcheck
)
app.command(epilog=_examples("conformance --backend reference", "conformance --backend chip.yaml --json"))(conformance)
app.add_typer(cards.backends, name="backends")
app.add_typer(cards.devices, name="devices")
app.add_typer(schedule, name="schedule")
app.add_typer(loihi, name="loihi")
app.add_typer(export, name="export")
app.add_typer(fpga, name="fpga")
app.add_typer(bench, name="bench")
app.add_typer(study, name="study")


def main(args: Sequence[str] | None = None) -> None:
    """Run one command line (None: that of the process) and leave with its exit code."""
    sys.exit(_run(args))


def _run(args: Sequence[str] | None) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("once", Notice)
        warnings.showwarning = _show
        return _call(args)


def _show(message: Warning | str, category: type[Warning], *place: object, **_: object) -> None:
    """A notice as one line; any other warning is a fault of ours and keeps its place in the code."""
    where = "" if category is Notice else f" ({category.__name__}, {place[0]}:{place[1]})"
    print(f"mep-hw: note: {message}{where}", file=sys.stderr)


def _call(args: Sequence[str] | None) -> int:
    try:
        return app(args, prog_name="mep-hw", standalone_mode=False) or 0
    except InputError as error:
        return _refuse(str(error))
    except typer.TyperException as error:
        where = getattr(getattr(error, "ctx", None), "command_path", "mep-hw")
        return _refuse(f"{error.format_message().rstrip('.')}; see {where} --help")


def _refuse(message: str) -> int:
    print("mep-hw: error:", " ".join(message.split()), file=sys.stderr)
    return BAD_INPUT
