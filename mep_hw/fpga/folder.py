"""A folder that an export writes: whole or not there, and what can be read back from it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from mep_hw.errors import InputError
from mep_hw.fpga.spec import Spec, Values, as_whole, load

Files = Mapping[str, str | bytes]  # relative path -> content; texts that begin with #! are made executable
SPEC, VALUES = "spec.json", "values.safetensors"


def require_new(out: Path) -> None:
    """Raises InputError unless `out` is not there, or an empty folder."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        rule = "is not an empty folder"
        raise InputError("export", "out", str(out), rule=rule, fix="name a new folder, or empty this one")


def write(out: Path, files: Files) -> None:
    """Write all files under `out`, which appears at once when all are written.

    Raises:
        InputError: `out` is there and not empty, or its parent cannot be written to.
    """
    require_new(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=".part"))
    except OSError as error:
        rule = f"cannot be written to ({error.strerror})"
        raise InputError("export", "out", str(out.parent), rule=rule, fix="choose a folder you own") from None
    try:
        for name, content in files.items():
            path = work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
            if path.read_bytes().startswith(b"#!"):
                path.chmod(0o755)
        work.chmod(0o755)
        os.replace(work, out)
    except OSError as error:
        shutil.rmtree(work, ignore_errors=True)
        rule = f"could not be written ({error.strerror})"
        raise InputError("export", "out", str(out), rule=rule, fix="make room, or choose another folder") from None
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


def described(spec: Spec, values: Values) -> dict[str, str | bytes]:
    """The files from which everything else can be made again."""
    held = {f"weights.{n}": w.astype(np.int32) for n, w in enumerate(values.weights, 1)}
    held |= {f"biases.{n}": b.astype(np.int32) for n, b in enumerate(values.biases, 1)}
    return {SPEC: spec.to_json(), VALUES: safetensors.numpy.save(held)}


def read(folder: Path) -> tuple[Spec, Values]:
    """What `described` wrote.

    Raises:
        InputError: a file is missing or damaged, or does not fit the other.
    """
    if not folder.is_dir():
        raise InputError(str(folder), rule="is not a folder", fix="name the folder of mep-hw export hls or rtl")
    spec = load(folder / SPEC)
    path, fix = folder / VALUES, "export the model anew"
    try:
        held = safetensors.numpy.load(path.read_bytes())
    except OSError as error:
        raise InputError(str(path), rule=f"cannot be read ({error.strerror})", fix=fix) from None
    except safetensors.SafetensorError as error:
        raise InputError(str(path), rule=f"is not a whole safetensors file ({error})", fix=fix) from None
    numbers = range(1, spec.depth + 1)
    names = [f"{kind}.{n}" for kind in ("weights", "biases") for n in numbers]
    if sorted(held) != sorted(names):
        raise InputError(str(path), "tensors", sorted(held), rule=f"must be {', '.join(names)}", fix=fix)
    values = Values(as_whole([held[f"weights.{n}"] for n in numbers]), as_whole([held[f"biases.{n}"] for n in numbers]))
    values.check(spec)
    return spec, values
