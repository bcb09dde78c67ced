"""The study of nodes on an FPGA: what it measures, what it leaves out, and that it goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command import call
from fpga_programs import need

import mep_hw
from mep_hw.errors import CheckpointError, MachineError
from mep_hw.fpga import tools
from mep_hw.fpga.node import Node
from mep_hw.fpga.spec import Spec, Values
from mep_hw.studies import fpga_nodes, fpga_nodes_table
from mep_hw.studies.fpga_nodes import NodeStudy, Variant
from mep_hw.studies.fpga_nodes_plot import plot_nodes

CELLS: dict[str, Any] = {
    "tool": "yosys 0", "family": "xcup", "part": None, "lut": 10, "ff": 20, "dsp": 4, "bram18": 1, "bram36": 0,
    "lutram": 3, "srl": 0, "carry": 2, "cells": {}, "clock_mhz": None, "router": None,
}  # fmt: skip
CLOCK = {"family": "ecp5", "part": "LFE5U", "clock_mhz": 50.0, "router": "nextpnr 0"}


def study(folder: Path, lanes: tuple[int, ...] = (2, 4), learning: tuple[int, ...] = (4,)) -> NodeStudy:
    return NodeStudy(mep_hw.mlp(8, 4, 3), "8-4-3", lanes, learning, True, folder, lambda _: None)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """The parts that were asked for; Verilator is missing, and the largest node does not fit the router's chip."""
    asked: list[tuple[int, str]] = []

    def measure(spec: Spec, values: Values, part: str) -> dict[str, Any]:
        asked.append((spec.lanes, part))
        if part == "simulated":
            raise tools.Missing("fpga", "program", "verilator", rule="is not on PATH", fix="install it")
        if part == "ecp5 routed" and spec.learning is not None:
            raise MachineError("fpga", "nextpnr-ecp5", rule="failed", fix="take fewer lanes")
        return CELLS | (CLOCK if part == "ecp5 routed" else {})

    monkeypatch.setattr(fpga_nodes, "_measure", measure)
    return asked


def test_what_is_not_run_is_none_and_the_rest_goes_on(tmp_path: Path, measured: list[tuple[int, str]]) -> None:
    table = study(tmp_path).run()
    assert [(row["lanes"], row["learning"]) for row in table["rows"]] == [(2, False), (4, False), (4, True)]
    two, _, learner = table["rows"]
    assert two["simulated"] is None and fpga_nodes_table.agrees(two) is None
    assert two["inference_us"] == two["inference_cycles"] / 50.0
    assert two["inferences_per_s"] == pytest.approx(50e6 / two["inference_cycles"])
    assert learner["ecp5"] is None and learner["clock_mhz"] is None and learner["inference_us"] is None
    assert learner["xcup"]["lut"] == 10 and learner["xcup"]["tool"] == "yosys 0"
    assert learner["job_cycles"] > table["rows"][1]["job_cycles"]
    page = fpga_nodes_table.markdown(table)
    assert "not run" in page and "yosys 0" in page and "200 MHz, assumed" in page
    plot_nodes(table, tmp_path / "nodes.png")
    before = len(measured)
    again = study(tmp_path).run()
    assert [part for _, part in measured[before:]] == ["simulated"] * 3 + ["ecp5 routed"]  # what was not run before
    assert again["rows"] == table["rows"]
    assert json.loads((tmp_path / "nodes-8-4-3.json").read_text())["rows"] == table["rows"]
    with pytest.raises(CheckpointError, match="model"):
        NodeStudy(mep_hw.mlp(8, 4, 3), "other", (2,), (), True, _renamed(tmp_path), lambda _: None)


def _renamed(folder: Path) -> Path:
    (folder / "nodes-8-4-3.json").rename(folder / "nodes-other.json")
    return folder


def test_a_time_needs_a_routed_clock_and_a_share_follows_from_the_formula() -> None:
    spec, _ = fpga_nodes.specified(mep_hw.mlp(784, 256, 10), Variant(16, False))
    row = fpga_nodes_table.row(Node(spec, 0), False, {})
    assert row["inference_us"] is None and row["inferences_per_s"] is None and row["ecp5"] is None
    assert row["assumed_inference_us"] == row["inference_cycles"] / 200
    assert row["busy_steps"] >= 0.85 and row["busy_settle"] >= 0.85


def test_the_circuit_counts_what_the_formula_says_and_equals_the_oracle() -> None:
    need("verilator", "g++")
    spec, values = fpga_nodes.specified(mep_hw.mlp(8, 4, 3), Variant(2, True))
    found = fpga_nodes.simulated(spec, values)
    row = fpga_nodes_table.row(Node(spec, 0), True, {"simulated": found})
    assert fpga_nodes_table.agrees(row) is True
    assert fpga_nodes_table.agrees(row | {"job_cycles": row["job_cycles"] + 1}) is False
    assert fpga_nodes_table.agrees(row | {"simulated": found | {"equal": False}}) is False


@pytest.mark.parametrize(("lanes", "rule"), [("3", "must divide"), ("0", "at least 1"), ("two", "at least 1")])
def test_lanes_that_cannot_be_are_told_in_one_line(
    lanes: str, rule: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = call(capsys, "study", "fpga", "--model", "8-4-3", "--lanes", lanes, "--out", tmp_path)
    assert done.code == 2 and rule in done.err and done.err.count("\n") == 1 and not list(tmp_path.iterdir())


def test_the_command_prints_what_it_writes(
    tmp_path: Path, measured: list[tuple[int, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--model", "8-4-3", "--lanes", "4,2", "--learning", "4", "--no-route", "--out", tmp_path)
    printed = call(capsys, "study", "fpga", *options, "--json")
    written = json.loads((tmp_path / "nodes-8-4-3.json").read_text())
    assert json.loads(printed.out) == {key: value for key, value in written.items() if key != "runs"}
    assert printed.err.count("not run: ") == 3 and "ecp5 routed" not in {part for _, part in measured}
    assert (tmp_path / "nodes-8-4-3.png").read_bytes().startswith(b"\x89PNG")
    shown = call(capsys, "study", "fpga", *options).out
    assert "not run" in shown and "us at 200 MHz, assumed" in shown
