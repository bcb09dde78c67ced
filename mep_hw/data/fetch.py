"""Get a file over the network and keep it only if it is the right one.

The body is held in memory, compared with the length the server stated and with a checksum, and only then written,
under a temporary name that is renamed at the end. A reader therefore sees the whole file or none, also when two
processes fetch it at once. Meant for files of some megabytes: there is no resume.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import secrets
import urllib.request
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from mep_hw.errors import DataError

_CHUNK = 1 << 16


def download(url: str, *, timeout: float = 30.0) -> bytes:
    """Fetch a URL, with a progress bar on stderr when that is a terminal.

    Args:
        url: address of the file.
        timeout: seconds without any answer after which to give up.

    Raises:
        DataError: no connection, an error status, or fewer bytes than announced.
    """
    body = bytearray()
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    try:
        with (
            urllib.request.urlopen(url, timeout=timeout) as answer,
            Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress,
        ):
            stated = int(answer.headers.get("Content-Length", -1))
            task = progress.add_task(url.rsplit("/", 1)[-1], total=stated if stated >= 0 else None)
            while chunk := answer.read(_CHUNK):
                body += chunk
                progress.update(task, completed=len(body))
    except (OSError, http.client.HTTPException, ValueError) as error:
        fix = "check the network, or name another mirror in MEP_HW_MNIST_URL, or put the files there by hand"
        raise DataError("download", "url", url, rule=f"could not be fetched ({error})", fix=fix) from error
    if stated >= 0 and len(body) != stated:
        rule = f"ended after {len(body)} of {stated} bytes"
        raise DataError("download", "url", url, rule=rule, fix="try again, or name another mirror in MEP_HW_MNIST_URL")
    return bytes(body)


def verify(body: bytes, md5: str, where: str, *, fix: str) -> None:
    """Compare bytes with a checksum, which guards against damage and mix-ups, not against an attacker.

    Raises:
        DataError: they differ.
    """
    found = hashlib.md5(body, usedforsecurity=False).hexdigest()
    if found != md5:
        raise DataError(where, "md5 of the decompressed bytes", found, rule=f"must be {md5}", fix=fix)


def write_atomic(path: Path, body: bytes) -> None:
    """Write a whole file or nothing.

    Raises:
        DataError: the folder or the file cannot be written.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = part.open("xb")
        try:
            with file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        finally:
            # Also on an interrupt; after a successful rename there is nothing under this name.
            part.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        fix = "free space or change its rights, or set MEP_HW_DATA to a folder that can be written"
        raise DataError(str(path.parent), "file", path.name, rule=f"cannot be written ({reason})", fix=fix) from error
