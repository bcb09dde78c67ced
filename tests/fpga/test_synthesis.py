"""Counts of yosys and a clock of nextpnr, for a design whose cells are known."""

from __future__ import annotations

from pathlib import Path

import fpga_cases
import pytest
from fpga_programs import need

from mep_hw.errors import MachineError
from mep_hw.fpga import tools
from mep_hw.fpga.node import Node
from mep_hw.fpga.rtl.config import header
from mep_hw.fpga.rtl.memories import memories
from mep_hw.fpga.rtl.verilate import sources
from mep_hw.fpga.synthesis import Family, routed, synthesise

DESIGN = """
module multiply(input logic clk, input logic signed [17:0] a, b, input logic [9:0] address, input logic write,
                output logic signed [40:0] sum, output logic [17:0] word);
  logic [17:0] memory[0:1023];
  logic signed [35:0] product;
  always_ff @(posedge clk) begin
    product <= a * b;
    sum <= sum + product;
    if (write) memory[address] <= a;
    word <= memory[address];
  end
endmodule
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "multiply.sv"
    path.write_text(DESIGN)
    return path


@pytest.mark.parametrize("family", ["xcup", "ecp5"])
def test_a_multiplier_and_a_memory_are_counted(family: Family, source: Path, tmp_path: Path) -> None:
    need("yosys")
    found = synthesise([source], "multiply", family, tmp_path)
    assert (found.dsp, found.bram18, found.bram36, found.lutram, found.ff) == (1, 1, 0, 0, 77)
    assert found.tool.startswith("Yosys ")
    assert found.clock_mhz is None and found.part is None
    if family == "ecp5" and tools.found("nextpnr-ecp5"):
        clocked = routed(found, tmp_path)
        assert clocked.clock_mhz is not None and 50 < clocked.clock_mhz < 1000
        assert clocked.part == "LFE5U-85F-8CABGA756"


def test_a_node_becomes_block_ram_and_two_multipliers_a_lane(tmp_path: Path) -> None:
    """With all its weights in block RAM, and its states, biases and sums in LUTs."""
    need("yosys")
    case = fpga_cases.make(64, 8, 4, lanes=2)
    node = Node(case.spec, 0)
    for name, text in (sources() | {"mep_config.svh": header(node)} | memories(node, case.values)).items():
        (tmp_path / name).write_text(text)
    found = synthesise(sorted(tmp_path.glob("*.sv")), "mep_node", "xcup", tmp_path)
    assert (found.dsp, found.bram18 + found.bram36) == (2 * case.spec.lanes, 1) and found.lutram > 0


def test_bad_source_is_told_in_one_line(tmp_path: Path) -> None:
    need("yosys")
    path = tmp_path / "bad.sv"
    path.write_text("module bad(; endmodule")
    with pytest.raises(MachineError, match="syntax error"):
        synthesise([path], "bad", "xcup", tmp_path)


def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tools, "found", lambda program: None)
    with pytest.raises(MachineError, match="apt-get install yosys"):
        synthesise([], "none", "xcup", tmp_path)


def test_a_program_that_hangs_is_stopped() -> None:
    with pytest.raises(MachineError, match="took longer than 0.2 s"):
        tools.call(["sleep", "30"], timeout_s=0.2)
