"""Folders of exports: whole or not there, and read back as they were."""

from __future__ import annotations

from pathlib import Path

import fpga_cases
import pytest

from mep_hw.errors import InputError
from mep_hw.fpga import folder


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    given = fpga_cases.make(8, 4, 3, learning=True)
    folder.write(tmp_path / "a/build", folder.described(given.spec, given.values) | {"go.sh": "#!/bin/sh\n"})
    spec, values = folder.read(tmp_path / "a/build")
    assert spec == given.spec
    assert all((a == b).all() for a, b in zip(values.weights, given.values.weights, strict=True))
    assert all((a == b).all() for a, b in zip(values.biases, given.values.biases, strict=True))
    assert (tmp_path / "a/build/go.sh").stat().st_mode & 0o111
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["build"]


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(InputError, match="is not an empty folder"):
        folder.write(tmp_path, {"a": "b"})
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    folder.write(tmp_path / "empty", {"x/y.txt": "here"})
    assert (tmp_path / "empty/x/y.txt").read_text() == "here"


def test_what_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="could not be written"):
        folder.write(tmp_path / "build", {"a": "file", "a/b": "below a file"})
    assert not list(tmp_path.iterdir())


def test_damage_is_told(tmp_path: Path) -> None:
    given = fpga_cases.make(8, 4, 3)
    files = folder.described(given.spec, given.values)
    cases: list[tuple[str, str | bytes, str]] = [
        ("values.safetensors", b"nothing", "not a whole safetensors file"),
        ("spec.json", "{", "Invalid JSON"),
        ("spec.json", str(files["spec.json"]).replace('"lanes": 4', '"lanes": 3'), "does not divide"),
        ("spec.json", str(files["spec.json"]).replace('"beta": 32', '"beta": "32"'), "valid integer"),
        ("values.safetensors", folder.described(given.spec, fpga_cases.make(8, 8, 3).values)["values.safetensors"],
         "must be int64 of the shape"),
    ]  # fmt: skip
    for number, (name, content, rule) in enumerate(cases):
        out = tmp_path / str(number)
        folder.write(out, files | {name: content})
        with pytest.raises(InputError, match=rule):
            folder.read(out)
