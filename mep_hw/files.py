"""Files that are either whole or not there: written under a temporary name, flushed to disk, then renamed."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from mep_hw.errors import CheckpointError, InputError


def write_atomic(path: str | Path, content: bytes) -> None:
    """Replace `path` by `content` in one step; after a crash the old file or the new one is there, never a part.

    Raises:
        InputError: the folder does not exist or cannot be written to.
    """
    path = Path(path)
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    except OSError as error:
        raise InputError(
            str(path.parent), rule=f"cannot be written to ({error.strerror})", fix="choose a folder you own"
        ) from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def write_tensors(path: str | Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """A safetensors file with string metadata, written atomically."""
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomic(path, safetensors.torch.save(whole, metadata))


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file.

    Raises:
        CheckpointError: the file is missing, truncated or of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(
            str(path), rule="does not exist or is not a file", fix="give a .safetensors file written by mep_hw"
        )
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise CheckpointError(
            str(path), rule=f"is not a whole safetensors file ({error})", fix="restore it from a copy"
        ) from None


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Those whose names begin with `prefix`, by the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def require_writable(folder: Path) -> None:
    """Make `folder` if it is not there, and prove that a file can be made in it.

    Raises:
        InputError: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            str(folder), rule=f"cannot be written to ({error.strerror})", fix="choose a folder you own"
        ) from None
