"""MNIST: 28x28 handwritten digits, 60000 training and 10000 test samples, from four IDX files.

Where the files are looked for, in this order, and into which missing ones are downloaded: `root`, else the folder in
the environment variable MEP_HW_DATA, else the user's cache. One place is chosen and the others are not tried. The
checksums are those of the decompressed files, so recompressed copies are accepted and altered ones are not.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from mep_hw.data.fetch import download, verify, write_atomic
from mep_hw.data.idx import inflate, parse_idx, read_raw
from mep_hw.data.sets import Data
from mep_hw.errors import DataError

URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"

MD5: Mapping[str, str] = {
    "train-images-idx3-ubyte.gz": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte.gz": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte.gz": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte.gz": "27ae3e4e09519cfbb04c329615203637",
}


def mnist(root: Path | None = None, *, url: str | None = None, md5: Mapping[str, str] = MD5) -> Data:
    """Load MNIST, downloading (about 11 MB) what is missing.

    Args:
        root: an existing folder; the files are in its subfolder `mnist`.
        url: folder on a server that holds the four files; MEP_HW_MNIST_URL, then a public mirror, when left out.
        md5: checksum of each file after decompression.

    Returns:
        `x` (60000, 1, 28, 28) and `test_x` (10000, 1, 28, 28) with pixels in [0, 1], ten classes.

    Raises:
        DataError: no such folder, no network, or a file that is damaged or not the original.
    """
    folder = _folder(root)
    base = url or os.environ.get("MEP_HW_MNIST_URL") or URL
    base = base if base.endswith("/") else base + "/"
    x, y = _part("train", folder, base, md5)
    test_x, test_y = _part("t10k", folder, base, md5)
    return Data("mnist", x, y, test_x, test_y, classes=10)


def _folder(root: Path | None) -> Path:
    named = root if root is not None else os.environ.get("MEP_HW_DATA") or None
    if named is None:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or "")
        # The XDG rules say that a relative path there is to be ignored.
        return (cache if cache.is_absolute() else Path.home() / ".cache") / "mep_hw" / "mnist"
    if not Path(named).is_dir():
        field = "MEP_HW_DATA" if root is None else "root"
        fix = "create it, or leave it unset to use the cache folder"
        raise DataError("mnist", field, named, rule="must be an existing folder", fix=fix)
    return Path(named) / "mnist"


def _part(prefix: str, folder: Path, base: str, md5: Mapping[str, str]) -> tuple[Tensor, Tensor]:
    """One of the two parts: pixels (n, 1, rows, columns) float32 in [0, 1], labels (n,) int64."""
    images = _file(f"{prefix}-images-idx3-ubyte.gz", 3, folder, base, md5)
    labels = _file(f"{prefix}-labels-idx1-ubyte.gz", 1, folder, base, md5)
    return images.unsqueeze(1).to(torch.float32).div_(255.0), labels.to(torch.int64)


def _file(name: str, dims: int, folder: Path, base: str, md5: Mapping[str, str]) -> Tensor:
    path = folder / name
    if path.exists():
        raw = read_raw(path)
        verify(raw, md5[name], str(path), fix="delete the file, and it is downloaded again")
        return parse_idx(raw, str(path), dims=dims)
    body = download(base + name)
    raw = inflate(body, base + name)
    verify(raw, md5[name], base + name, fix="try again, or name another mirror in MEP_HW_MNIST_URL")
    values = parse_idx(raw, base + name, dims=dims)
    write_atomic(path, body)
    return values
