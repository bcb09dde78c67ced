"""`mep-hw loihi`: what Loihi and its simulation need."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Annotated

import typer

from mep_hw.cli import flags, output
from mep_hw.cli.loihi_map import EXAMPLES, map_command
from mep_hw.errors import MachineError
from mep_hw.loihi.environment import Found, lava_python
from mep_hw.loihi.learn import agreement
from mep_hw.loihi.setup import setup as setup_lava

loihi = typer.Typer(help="Loihi and Lava's simulation of it.", no_args_is_help=True)

loihi.command("map", epilog=EXAMPLES)(map_command)

IfPossible = Annotated[
    bool, typer.Option("--if-possible", help="Where it cannot be set up, say why on stderr and exit with 0.")
]
Floating = Annotated[bool, typer.Option("--floating", help="The engine in floating point, in place of fixed point.")]
Samples = Annotated[int, typer.Option("--samples", help="Samples to learn from, one after the other.")]


@loihi.command(epilog="Example: mep-hw loihi setup --json")
def setup(if_possible: IfPossible = False, as_json: flags.Json = False) -> None:
    """Set up Lava: a Python 3.10 environment with lava-nc 0.10.0 in the user's cache folder.

    MEP_HW_LAVA_PYTHON names an interpreter to use instead, which is then only checked.
    """
    try:
        found = asdict(setup_lava())
    except MachineError as error:
        if not if_possible:
            raise
        output.tell(f"mep-hw: note: {error}")
        found = dict.fromkeys(field.name for field in fields(Found))
    if as_json:
        output.print_json(found | {"path": found["path"] and str(found["path"])})
    elif found["path"]:
        output.pairs(found.items())


@loihi.command(epilog="Example: mep-hw loihi learn --samples 200 --json")
def learn(floating: Floating = False, samples: Samples = 60, seed: flags.Seed = 0, as_json: flags.Json = False) -> None:
    """Experimental: learn 12-6 inside of Loihi's engine as Lava simulates it, and compare with EP."""
    found = asdict(agreement(lava_python().path, fixed=not floating, samples=samples, seed=seed))
    if as_json:
        output.print_json(found)
    else:
        output.pairs(found.items())
