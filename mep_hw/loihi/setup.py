"""Making the environment for Lava: a Python 3.10 of this machine, or one that uv can get, and lava-nc in it.

Environments are made in place, since they cannot be moved; a file written last tells that one is whole, and a lock
keeps several processes from making it at once.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mep_hw.errors import MachineError
from mep_hw.files import require_writable, write_atomic
from mep_hw.loihi.environment import (
    LAVA,
    PROBE_S,
    PYTHON,
    VARIABLE,
    Found,
    checked,
    folder,
    interpreter,
    lava_python,
    marker,
    reason,
    run,
)

INSTALL_S = 1800.0
_USABLE = "import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 10))"


def setup() -> Found:
    """Make the environment where it is not whole yet; several processes may call this at once.

    Raises:
        MachineError: the variable names something unusable, there is no Python 3.10, or the installation failed.
    """
    if os.environ.get(VARIABLE) or marker().is_file():
        return lava_python()
    with _locked():
        if not marker().is_file():
            _make()
            found = checked(interpreter(), "Lava", "look at what pip printed")
            write_atomic(marker(), json.dumps({"python": found.python, "lava": found.lava}).encode())
    return lava_python()


def python310() -> Path | None:
    """A Python 3.10 that runs and can make environments: on PATH, else the newest of pyenv's."""
    # What is on PATH may be a stand-in of pyenv's, which refuses to run; so each one is tried.
    on_path = shutil.which("python3.10")
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    versions = sorted(root.glob("versions/3.10.*/bin/python"), key=lambda path: _number(path.parts[-3]), reverse=True)
    candidates = [*([Path(on_path)] if on_path else []), *versions]
    return next((path for path in candidates if _runs([str(path), "-I", "-c", _USABLE])), None)


def _make() -> None:
    """The environment and its packages, by the first of: a Python 3.10 of this machine, uv."""
    place, package = str(folder()), f"lava-nc=={LAVA}"
    python, uv = python310(), shutil.which("uv")
    shutil.rmtree(place, ignore_errors=True)  # a part that an interrupted setup left
    if python is not None:
        _install([str(python), "-I", "-m", "venv", place])
        _install([str(interpreter()), "-I", "-m", "pip", "install", "--quiet", package])
    elif uv is not None:
        _install([uv, "venv", "--quiet", "--python", PYTHON, place])
        _install([uv, "pip", "install", "--quiet", "--python", str(interpreter()), package])
    else:
        raise MachineError(
            "Lava", "python",
            rule=f"needs a Python {PYTHON} with venv; looked for python3.10 on PATH, for pyenv's versions and for uv",
            fix=f"install one (pyenv install {PYTHON}, or pip install uv), or set {VARIABLE} to one with {package}",
        )  # fmt: skip


def _install(command: Sequence[str]) -> None:
    try:
        run(command, INSTALL_S)
    except (OSError, subprocess.SubprocessError) as error:
        rule = f"could not be set up: {' '.join(command)}: {reason(error)}"
        fix = f"see whether this machine reaches a package index, or set {VARIABLE}"
        raise MachineError("Lava", rule=rule, fix=fix) from None


def _runs(command: Sequence[str]) -> bool:
    try:
        run(command, PROBE_S)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


@contextmanager
def _locked() -> Generator[None]:
    require_writable(folder().parent)
    with open(folder().parent / "lava.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # released when the file is closed, also by a process that dies
        yield


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())
