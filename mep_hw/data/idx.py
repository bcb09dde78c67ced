"""The IDX format of the MNIST files: two zero bytes, a type, the number of dimensions, the sizes, then the values.

Sizes are 32-bit and everything is big-endian. The whole file is read into memory.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mep_hw.errors import DataError

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_AGAIN = "delete the file and get it again"


def read_idx(path: Path, *, dims: int | None = None) -> Tensor:
    """Read one IDX file, compressed if its name ends in `.gz`.

    Args:
        path: the file.
        dims: number of dimensions it must have; any when left out.

    Returns:
        The values in their own type (uint8, int8, int16, int32, float32 or float64), in the shape the file states.

    Raises:
        DataError: missing or unreadable file, bad gzip, or a header or length that is not IDX.
    """
    return parse_idx(read_raw(path), str(path), dims=dims)


def read_raw(path: Path) -> bytes:
    """The bytes of a file, decompressed if its name ends in `.gz`; errors as in `read_idx`."""
    try:
        body = path.read_bytes()
    except OSError as error:
        rule = f"cannot be read ({error.strerror or error})"
        raise DataError("data", "file", path, rule=rule, fix="check the path and its rights") from error
    return inflate(body, str(path)) if path.suffix == ".gz" else body


def inflate(body: bytes, where: str) -> bytes:
    """Decompress gzip bytes; `where` names them in the error. Raises DataError when they are damaged or cut short."""
    try:
        return gzip.decompress(body)
    except (OSError, EOFError, zlib.error) as error:
        rule = f"is not a complete gzip file ({error})"
        raise DataError(where, "length in bytes", len(body), rule=rule, fix=_AGAIN) from error


def parse_idx(body: bytes, where: str, *, dims: int | None = None) -> Tensor:
    """Turn the bytes of an IDX file into a tensor; arguments and errors as in `read_idx`."""
    magic = body[:4]
    if len(magic) < 4 or magic[:2] != b"\0\0":
        rule = "an IDX file starts with two zero bytes, a type and a number of dimensions"
        raise DataError(where, "magic", f"0x{magic.hex()}", rule=rule, fix=_AGAIN)
    kind, count = magic[2], magic[3]
    if kind not in _TYPES:
        rule = "must be one of " + ", ".join(f"0x{known:02x}" for known in _TYPES)
        raise DataError(where, "type", f"0x{kind:02x}", rule=rule, fix=_AGAIN)
    if count == 0 or dims not in (None, count):
        rule = f"must be {dims}" if dims else "must be 1 or more"
        raise DataError(where, "dimensions", count, rule=rule, fix="check that this is the right file")
    start = 4 + 4 * count
    if len(body) < start:
        raise DataError(where, "length in bytes", len(body), rule=f"the header alone needs {start}", fix=_AGAIN)
    shape = struct.unpack(f">{count}I", body[4:start])
    dtype = np.dtype(_TYPES[kind])
    needed = start + math.prod(shape) * dtype.itemsize
    if len(body) != needed:
        raise DataError(where, "length in bytes", len(body), rule=f"shape {shape} needs {needed}", fix=_AGAIN)
    # The copy makes the bytes writable and native-endian, as torch wants them.
    values = np.frombuffer(body, dtype, offset=start).astype(dtype.newbyteorder("="), copy=True)
    return torch.as_tensor(values).reshape(shape)
