"""IDX parsing: every type, and every way in which a file can be damaged."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from mep_hw.data import read_idx
from mep_hw.errors import DataError


def idx(values: np.ndarray, kind: int = 0x08) -> bytes:
    return bytes([0, 0, kind, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


GOOD = idx(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))


def write(folder: Path, body: bytes, name: str = "file.idx") -> Path:
    path = folder / name
    path.write_bytes(body)
    return path


@pytest.mark.parametrize(
    ("kind", "stored", "dtype"),
    [
        (0x08, "u1", torch.uint8),
        (0x09, "i1", torch.int8),
        (0x0B, ">i2", torch.int16),
        (0x0C, ">i4", torch.int32),
        (0x0D, ">f4", torch.float32),
        (0x0E, ">f8", torch.float64),
    ],
)
def test_every_type(tmp_path: Path, kind: int, stored: str, dtype: torch.dtype) -> None:
    values = np.array([[0, 1, 2], [100, 101, 127]])
    read = read_idx(write(tmp_path, idx(values.astype(stored), kind)))
    assert read.dtype == dtype and read.tolist() == values.tolist()


def test_gzip_by_name_and_writable_result(tmp_path: Path) -> None:
    read = read_idx(write(tmp_path, gzip.compress(GOOD), "file.gz"), dims=3)
    assert read.shape == (2, 3, 4) and read[1, 2, 3] == 23
    read += 1


def test_no_samples_is_a_valid_file(tmp_path: Path) -> None:
    assert read_idx(write(tmp_path, idx(np.zeros((0, 28, 28), np.uint8)))).shape == (0, 28, 28)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "magic = 0x:"),
        (b"\0\0\x08", "magic = 0x000008:"),
        (b"\x1f\x8b\x08\x03" + GOOD[4:], "magic = 0x1f8b0803:"),
        (b"\0\0\x0a\x03" + GOOD[4:], "type = 0x0a: must be one of 0x08"),
        (b"\0\0\x08\0", "dimensions = 0: must be 1 or more"),
        (GOOD[:10], "length in bytes = 10: the header alone needs 16"),
        (GOOD[:-1], r"length in bytes = 39: shape \(2, 3, 4\) needs 40"),
        (GOOD + b"\0", r"length in bytes = 41: shape \(2, 3, 4\) needs 40"),
        (b"\0\0\x08\x03" + b"\xff" * 12 + bytes(24), "length in bytes = 40: shape .* needs"),
    ],
)
def test_damaged(tmp_path: Path, body: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_idx(write(tmp_path, body))
    assert "file.idx" in str(caught.value) and caught.value.fix


def test_wrong_number_of_dimensions(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="dimensions = 3: must be 1"):
        read_idx(write(tmp_path, GOOD), dims=1)


@pytest.mark.parametrize(
    "body",
    [b"", GOOD, gzip.compress(GOOD)[:-9], gzip.compress(GOOD)[:12] + bytes(20)],
    ids=["empty", "not packed", "cut off", "altered"],  # packed bytes hold the time
)
def test_bad_gzip(tmp_path: Path, body: bytes) -> None:
    path = write(tmp_path, body, "file.gz")
    if not body:
        with pytest.raises(DataError, match="magic = 0x:"):  # an empty gzip stream decompresses to nothing
            read_idx(path)
        return
    with pytest.raises(DataError, match=rf"file.gz: length in bytes = {len(body)}: is not a complete gzip"):
        read_idx(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="file = .*absent.gz: cannot be read .No such file"):
        read_idx(tmp_path / "absent.gz")
