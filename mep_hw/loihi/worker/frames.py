"""Messages over pipes: a length of four bytes (big-endian), a JSON header, then numpy's npz bytes.

The length counts all that follows it: the header's own four bytes of length, header and arrays. Arrays are read with
allow_pickle=False: nothing that comes over the pipe is executed. Both ends of the pipe use this file.
"""

from __future__ import annotations

import io
import json
import os
from typing import Any

import numpy as np


def pack(header: dict[str, Any], arrays: dict[str, Any]) -> bytes:
    """One message as bytes; `arrays` is a dict of names to arrays."""
    text = json.dumps(header).encode()
    body = io.BytesIO()
    if arrays:
        np.savez(body, **arrays)
    length = 4 + len(text) + len(body.getvalue())
    return length.to_bytes(4, "big") + len(text).to_bytes(4, "big") + text + body.getvalue()


def unpack(message: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and arrays of what followed the first length."""
    size = int.from_bytes(message[:4], "big")
    header = json.loads(message[4 : 4 + size])
    if len(message) == 4 + size:
        return header, {}
    with np.load(io.BytesIO(message[4 + size :]), allow_pickle=False) as file:
        return header, {name: file[name] for name in file.files}


def write(handle: int, header: dict[str, Any], arrays: dict[str, Any]) -> None:
    """Write a whole message to a file descriptor."""
    rest = memoryview(pack(header, arrays))
    while rest:
        rest = rest[os.write(handle, rest) :]


def read(handle: int) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The next message of a file descriptor, or None at its end."""
    length = _exactly(handle, 4)
    message = None if length is None else _exactly(handle, int.from_bytes(length, "big"))
    return None if message is None else unpack(message)


def _exactly(handle: int, count: int) -> bytes | None:
    parts: list[bytes] = []
    while count > 0:
        part = os.read(handle, min(count, 1 << 20))
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
