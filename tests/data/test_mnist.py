"""MNIST: where files are looked for, downloads from a local server, and what a failed one leaves behind (nothing)."""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

import mep_hw.data.fetch as fetch
from mep_hw.data import mnist
from mep_hw.errors import DataError

IMAGES = {"train": np.arange(6 * 4, dtype=np.uint8).reshape(6, 2, 2) * 11, "t10k": np.full((2, 2, 2), 51, np.uint8)}
LABELS = {"train": np.array([0, 1, 2, 3, 4, 9], np.uint8), "t10k": np.array([7, 8], np.uint8)}


def idx(values: np.ndarray) -> bytes:
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


RAW = {f"{part}-images-idx3-ubyte.gz": idx(IMAGES[part]) for part in IMAGES} | {
    f"{part}-labels-idx1-ubyte.gz": idx(LABELS[part]) for part in LABELS
}
MD5 = {name: hashlib.md5(raw).hexdigest() for name, raw in RAW.items()}
FIRST = "train-images-idx3-ubyte.gz"


class Server:
    """A local mirror: a body for each file name, and a log of what was asked for."""

    def __init__(self) -> None:
        self.files = {name: gzip.compress(raw) for name, raw in RAW.items()}
        self.cut = 0
        self.asked: list[str] = []
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, self))
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/mirror"


class Handler(BaseHTTPRequestHandler):
    def __init__(self, server: Server, *args: object) -> None:
        self.mirror = server
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        name = self.path.removeprefix("/mirror/")
        self.mirror.asked.append(name)
        body = self.mirror.files.get(name)
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) - self.mirror.cut])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    mirror = Server()
    thread = threading.Thread(target=mirror.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield mirror
    mirror.http.shutdown()
    thread.join()
    mirror.http.server_close()


@pytest.fixture(autouse=True)
def no_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("MEP_HW_DATA", "MEP_HW_MNIST_URL", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_download_then_read_without_network(tmp_path: Path, server: Server) -> None:
    data = mnist(tmp_path, url=server.url, md5=MD5)
    assert (data.name, data.classes) == ("mnist", 10)
    assert data.x.shape == (6, 1, 2, 2) and data.test_x.shape == (2, 1, 2, 2)
    assert data.x.dtype == torch.float32 and data.y.dtype == torch.int64
    assert torch.equal(data.x[1, 0], torch.tensor([[44, 55], [66, 77]]) / 255)
    assert torch.allclose(data.test_x, torch.tensor(0.2))
    assert data.y.tolist() == [0, 1, 2, 3, 4, 9] and data.test_y.tolist() == [7, 8]
    assert [path.name for path in files(tmp_path)] == sorted(RAW)
    assert sorted(server.asked) == sorted(RAW)

    again = mnist(tmp_path, url=server.url, md5=MD5)
    assert len(server.asked) == 4 and torch.equal(again.x, data.x)


def test_progress_goes_to_stderr_and_only_to_terminals(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch.download(f"{server.url}/{FIRST}")
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("FORCE_COLOR", "1")  # how rich is told to treat its output as a terminal
    fetch.download(f"{server.url}/{FIRST}")
    out, err = capsys.readouterr()
    assert out == "" and FIRST in err


def test_only_missing_files_are_downloaded(tmp_path: Path, server: Server) -> None:
    mnist(tmp_path, url=server.url, md5=MD5)
    (tmp_path / "mnist" / FIRST).unlink()
    server.asked.clear()
    mnist(tmp_path, url=server.url + "/", md5=MD5)
    assert server.asked == [FIRST]


def test_places(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEP_HW_MNIST_URL", server.url)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/ignored")
    mnist(md5=MD5)
    assert len(files(tmp_path / "home/.cache/mep_hw/mnist")) == 4
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    mnist(md5=MD5)
    assert len(files(tmp_path / "xdg/mep_hw/mnist")) == 4
    (tmp_path / "named").mkdir()
    monkeypatch.setenv("MEP_HW_DATA", str(tmp_path / "named"))
    mnist(md5=MD5)
    assert len(files(tmp_path / "named/mnist")) == 4
    assert len(server.asked) == 12
    (tmp_path / "root").mkdir()
    mnist(tmp_path / "root", md5=MD5)
    assert len(files(tmp_path / "root/mnist")) == 4


def test_url_argument_wins_over_the_environment(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEP_HW_MNIST_URL", "http://127.0.0.1:1/none")
    assert len(mnist(tmp_path, url=server.url, md5=MD5).x) == 6


def test_named_folder_must_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEP_HW_DATA", str(tmp_path / "typo"))
    with pytest.raises(DataError, match="mnist: MEP_HW_DATA = .*typo: must be an existing folder"):
        mnist()
    with pytest.raises(DataError, match="mnist: root = .*other: must be an existing folder"):
        mnist(tmp_path / "other")
    assert not files(tmp_path)


def test_not_found(tmp_path: Path, server: Server) -> None:
    server.files.clear()
    with pytest.raises(DataError, match=rf"url = {server.url}/{FIRST}: could not be fetched .*404.*MEP_HW_MNIST_URL"):
        mnist(tmp_path, url=server.url, md5=MD5)
    assert not files(tmp_path)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "not a url", "http://", "http://127.0.0.1:1/a b"])
def test_no_connection_or_bad_address(tmp_path: Path, url: str) -> None:
    with pytest.raises(DataError, match=rf"download: url = {url}/?{FIRST}: could not be fetched"):
        mnist(tmp_path, url=url, md5=MD5)
    assert not files(tmp_path)


def test_truncated_body(tmp_path: Path, server: Server) -> None:
    server.cut = 5
    whole = len(server.files[FIRST])
    with pytest.raises(DataError, match=rf"url = .*{FIRST}: ended after {whole - 5} of {whole} bytes"):
        mnist(tmp_path, url=server.url, md5=MD5)
    assert not files(tmp_path)


def test_altered_download(tmp_path: Path, server: Server) -> None:
    server.files[FIRST] = gzip.compress(idx(IMAGES["t10k"]))
    wrong = hashlib.md5(RAW["t10k-images-idx3-ubyte.gz"]).hexdigest()
    with pytest.raises(DataError, match=rf"{FIRST}: md5 of the decompressed bytes = {wrong}: must be {MD5[FIRST]}"):
        mnist(tmp_path, url=server.url, md5=MD5)
    assert not files(tmp_path)


def test_download_that_is_not_gzip(tmp_path: Path, server: Server) -> None:
    server.files[FIRST] = b"<html>log in first</html>"
    with pytest.raises(DataError, match=rf"{FIRST}: length in bytes = 25: is not a complete gzip file"):
        mnist(tmp_path, url=server.url, md5=MD5)
    assert not files(tmp_path)


def test_download_that_is_not_idx(tmp_path: Path, server: Server) -> None:
    server.files[FIRST] = gzip.compress(b"text")
    with pytest.raises(DataError, match=rf"{FIRST}: magic = 0x74657874"):
        mnist(tmp_path, url=server.url, md5=MD5 | {FIRST: hashlib.md5(b"text").hexdigest()})
    assert not files(tmp_path)


def test_altered_file_on_disk_is_reported_and_kept(tmp_path: Path, server: Server) -> None:
    mnist(tmp_path, url=server.url, md5=MD5)
    path = tmp_path / "mnist" / FIRST
    path.write_bytes(gzip.compress(RAW[FIRST][:-1] + b"\0"))
    with pytest.raises(DataError, match=rf"{FIRST}: md5 of .* must be {MD5[FIRST]}; delete the file"):
        mnist(tmp_path, url=server.url, md5=MD5)
    assert path.exists() and len(server.asked) == 4


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("failure", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_interrupted_write_leaves_nothing(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, step: str, failure: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(fetch.os, step, fail)
    expected = KeyboardInterrupt if isinstance(failure, KeyboardInterrupt) else DataError
    with pytest.raises(expected) as caught:
        mnist(tmp_path, url=server.url, md5=MD5)
    if expected is DataError:
        assert f"file = {FIRST}: cannot be written (No space left on device)" in str(caught.value)
    assert not files(tmp_path)


def test_folder_that_cannot_be_made(tmp_path: Path, server: Server) -> None:
    (tmp_path / "mnist").write_text("a file, where a folder is needed")
    with pytest.raises(DataError, match=rf"mnist: file = {FIRST}: cannot be written"):
        mnist(tmp_path, url=server.url, md5=MD5)
    assert files(tmp_path) == [tmp_path / "mnist"]


def real_root() -> Path | None:
    """The folder with the real files: MEP_HW_DATA, else shared/data beside the checkout, else None."""
    named = os.environ.get("MEP_HW_DATA")
    root = Path(named) if named else Path(__file__).resolve().parents[3] / "shared" / "data"
    return root if (root / "mnist" / FIRST).exists() else None


# Looked up at import, before the fixture above hides the environment.
REAL = real_root()


@pytest.mark.skipif(REAL is None, reason="the MNIST files are neither in MEP_HW_DATA nor in ../shared/data")
def test_the_real_files() -> None:
    data = mnist(REAL)
    assert data.x.shape == (60000, 1, 28, 28) and data.test_x.shape == (10000, 1, 28, 28)
    assert data.x.min() == 0 and data.x.max() == 1
    assert abs(float(data.x.mean(dtype=torch.float64)) - 0.1307) < 1e-4  # the mean that the literature quotes
    assert torch.bincount(data.y).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert torch.bincount(data.test_y).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
