"""The Python 3.10 with lava-nc 0.10.0 that Lava's worker runs in: where it is, and whether it will do.

lava-nc 0.10.0 takes no other Python than 3.10, so it gets an environment of its own in the user's cache folder
(`XDG_CACHE_HOME`, else ~/.cache), made by `mep_hw.loihi.setup`. `MEP_HW_LAVA_PYTHON` names an interpreter to use
instead.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mep_hw.errors import MachineError

VARIABLE = "MEP_HW_LAVA_PYTHON"
PYTHON = "3.10"
LAVA = "0.10.0"
PROBE_S = 60.0
_ABOUT = Path(__file__).parent / "worker" / "about.py"
_SETUP = "run mep-hw loihi setup"


@dataclass(frozen=True)
class Found:
    """An interpreter and what it has; lava and numpy are None where they are not installed.

    hardware: Lava's extension for Loihi is installed, by Lava's own word.
    """

    path: Path
    python: str
    lava: str | None
    numpy: str | None
    hardware: bool


def lava_python() -> Found:
    """The interpreter to run Lava in: that of the variable, else the one that was set up.

    Raises:
        MachineError: there is none, or it is not Python 3.10 with lava-nc 0.10.0.
    """
    given = os.environ.get(VARIABLE)
    if given:
        return checked(Path(given), VARIABLE, f"unset it and {_SETUP}")
    if not marker().is_file():
        rule = f"is not set up, and {VARIABLE} is not set"
        raise MachineError("Lava", "environment", folder(), rule=rule, fix=_SETUP)
    return checked(interpreter(), "Lava", f"remove {folder()} and {_SETUP}")


def checked(python: Path, where: str, fix: str) -> Found:
    """What `python` is, if Lava's worker can run in it.

    Raises:
        MachineError: it is missing, does not run, is not 3.10, has no lava-nc or another version of it.
    """
    found = probe(python, where, fix)
    if found.python.split(".")[:2] != PYTHON.split("."):
        rule = f"is Python {found.python}; lava-nc {LAVA} runs in {PYTHON} only"
        raise MachineError(where, "python", python, rule=rule, fix=fix)
    if found.lava is None:
        rule = "is Python 3.10 without the package lava-nc"
        raise MachineError(where, "python", python, rule=rule, fix=f"install lava-nc=={LAVA} into it, or {fix}")
    if found.lava != LAVA:
        rule = f"has lava-nc {found.lava}; results are checked with {LAVA} only"
        raise MachineError(where, "lava-nc", found.lava, rule=rule, fix=f"install lava-nc=={LAVA} into it, or {fix}")
    return found


def probe(python: Path, where: str = "Lava", fix: str = _SETUP) -> Found:
    """Ask an interpreter what it is and has.

    Raises:
        MachineError: it is not there, or does not run.
    """
    if not python.is_file():
        raise MachineError(where, "python", python, rule="points to no file", fix=fix)
    try:
        done = run([str(python), "-I", "-B", str(_ABOUT)], PROBE_S)
        answer = json.loads(done.stdout.splitlines()[-1])
        return Found(python, answer["python"], answer["lava"], answer["numpy"], answer["hardware"])
    except (OSError, subprocess.SubprocessError, ValueError, LookupError, TypeError) as error:
        rule = f"does not run as a Python interpreter ({reason(error)})"
        raise MachineError(where, "python", python, rule=rule, fix=fix) from None


def folder() -> Path:
    """Where `setup` makes the environment."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "mep_hw" / f"lava-{LAVA}"


def run(command: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Run a program to its end without input; what it prints is kept.

    Raises:
        OSError, subprocess.SubprocessError: it is not there, fails or takes too long.
    """
    return subprocess.run(
        command, check=True, capture_output=True, text=True, errors="replace", timeout=timeout_s,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def reason(error: Exception) -> str:
    """The last line that a failed program printed, else the error itself."""
    lines = error.stderr.strip().splitlines() if isinstance(error, subprocess.CalledProcessError) else []
    return lines[-1] if lines else str(error)


def marker() -> Path:
    """The file that tells that `setup` got to its end."""
    return folder() / "whole.json"


def interpreter() -> Path:
    """What `setup` makes."""
    return folder() / "bin" / "python"
