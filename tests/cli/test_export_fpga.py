"""`mep-hw export hls`, `export rtl` and `fpga verify`: folders, their checks, and refusals that write nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import call
from fpga_programs import HEADERS, need

from mep_hw.fpga import checks, folder


@pytest.fixture(autouse=True)
def _few_states(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests of the executables compare as many as people get; here it is about the folder."""
    monkeypatch.setattr(checks, "STATES", 400)


SMALL = ("8-4-3", "--data", "random", "--samples", 30, "--state-bits", 12, "--weight-bits", 12, "--seed", 1)


def test_a_learning_model_on_two_boards_as_hls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    need("g++", "make", HEADERS)
    out = tmp_path / "build"
    options = ("--nodes", 2, "--lanes", 4, "--learn", "--lr", 0.0625, "--json")
    report = call(capsys, "export", "hls", *SMALL, "--out", out, *options).json
    spec, _ = folder.read(out)
    assert report["nodes"] == [[1], [2]] and report["lanes"] == spec.lanes == 4 and report["learn"]
    assert spec.learning is not None and spec.weights[0].bits == 12
    assert report["files"] == sum(path.is_file() for path in out.rglob("*"))
    found = call(capsys, "fpga", "verify", out, "--json").json
    assert {check["name"]: check["status"] for check in found["checks"]} == {
        "no sum overflows": "passed", "files are as exported": "passed", "native C++": "passed",
        "ap_fixed C++": "passed", "HLS pragmas": "passed", "Vitis HLS": "not run", "test bench of node0": "passed",
        "test bench of node1": "passed", "a process for each node": "passed",
    }  # fmt: skip
    assert (found["passed"], found["failed"], found["not_run"]) == (8, 0, 1)


def test_a_model_on_one_board_as_rtl(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    need("g++", "make", "verilator")
    out = tmp_path / "build"
    report = call(capsys, "export", "rtl", *SMALL, "--out", out, "--json").json
    assert report["nodes"] == [[1, 2]] and not report["learn"]
    found = call(capsys, "fpga", "verify", out, "--json").json
    status = {check["name"]: check["status"] for check in found["checks"]}
    assert status.pop("Vivado") == "not run"
    assert set(status.values()) == {"passed"} and len(status) == 7, status


def test_a_model_on_two_boards_as_rtl(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    need("g++", "verilator")
    out = tmp_path / "build"
    small = [8 if option == 12 else option for option in SMALL]  # bits of states
    call(capsys, "export", "rtl", *small, "--inference", "--tolerance", 1, "--nodes", 2, "--out", out)
    assert (out / "cluster.json").is_file() and not (out / "boards").exists()  # which are for HLS projects
    assert "no test bench of its own" in (out / "README.md").read_text()
    found = call(capsys, "fpga", "verify", out, "--json").json
    status = {check["name"]: check["status"] for check in found["checks"]}
    assert status.pop("Vivado") == "not run"
    assert set(status.values()) == {"passed"} and len(status) == 6, status


def test_what_was_changed_by_hand_fails_its_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "build"
    call(capsys, "export", "hls", *SMALL, "--out", out)
    (out / "node0/src/config.h").write_text("// mine\n")
    (out / "node0/Makefile").unlink()
    (out / "node0/src/more.h").touch()
    (out / "node0/bench").touch()  # what make leaves behind
    told = call(capsys, "fpga", "verify", out)
    assert told.code == 1
    assert "node0/src/more.h is not of the export" in told.out and "node0/bench" not in told.out
    assert "node0/Makefile is missing" in told.out and "node0/src/config.h differs" in told.out


def test_formats_that_were_tried_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "build"
    told = call(capsys, "export", "hls", "8-4-3", "--data", "random", "--samples", 30, "--out", out)
    assert told.code == 0 and "bits of states" in told.err
    tried = json.loads((out / "export.json").read_text())["formats"]["tried"]
    assert tried[-1]["passed"] and len(tried) == told.err.count("bits of states")
    spec, _ = folder.read(out)
    assert spec.layers[1].state.bits == tried[-1]["state_bits"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("8-4-3 --data random --lanes 3", "fpga: lanes = 3: must divide the 8 units of layer 0; take one of 1, 2, 4"),
        ("8-4-3 --data random --nodes 3", "nodes"),
        ("8-4-3 --data random --lr 0.1", "export: lr = 0.1: has no effect without --learn"),
        ("8-4-3 --data random --learn --lr 0.1", "a power of two: it is a shift on the chip; take 0.125"),
        ("8-4-3 --data random --sum-bits 8", "must fit in 8 bits, and"),
        ("8-4-3 --data random --beta 0.3", "fpga: beta = 0.3: must be a whole multiple of"),
        ("8-4-3 --data random --beta nan", "fpga: beta = nan: must be a whole multiple of"),
        ("8-4-3 --data random --beta -0.25", "fpga: beta = -0.25: must be a whole multiple of"),
        ("8-4-3", "data: x values per sample = 64: the model takes 8"),
        ("absent.safetensors", "absent.safetensors: does not exist"),
        ("convolution.yaml --data random", "layer 1 = a convolution: is not in the specification of this hardware"),
        ("tanh.yaml --data random", "layer 1, activation = tanh: is not in the specification of this hardware"),
    ],
)
@pytest.mark.parametrize("kind", ["hls", "rtl"])
def test_bad_input_is_one_line_and_no_file(
    kind: str, args: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    layers = {"convolution": "{conv: {channels: 2, kernel: 3}}", "tanh": "{dense: 4, activation: tanh}"}
    for name, layer in layers.items():
        inputs = "[1, 4, 4]" if name == "convolution" else "[8]"
        Path(f"{name}.yaml").write_text(f"input: {inputs}\nlayers: [{layer}, {{dense: 3}}]\n")
    told = call(capsys, "export", kind, *args.split(), "--out", "build", "--json")
    assert told.code == 2 and told.err.count("\n") == 1 and message in told.err, told.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["convolution.yaml", "tanh.yaml"]


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").touch()
    told = call(capsys, "export", "rtl", *SMALL, "--out", tmp_path)
    assert told.code == 2 and "is not an empty folder" in told.err
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("name", ["", "absent"])
def test_verify_wants_an_export(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = call(capsys, "fpga", "verify", tmp_path / name)
    assert told.code == 2 and told.err.count("\n") == 1 and "mep-hw: error:" in told.err
