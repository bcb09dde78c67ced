"""The gate-level netlist of a node against the oracle, by yosys and Verilator."""

from __future__ import annotations

import fpga_cases
import numpy as np
from fpga_tools import needs

from mep_hw.fpga import oracle
from mep_hw.fpga.rtl.gates import gates
from mep_hw.fpga.rtl.lockstep import Links, measured
from mep_hw.fpga.rtl.verilate import build

CASE = fpga_cases.make(8, 4, 3, lanes=2, learning=True, seed=1, rows=20)


@needs("yosys", "verilator", "g++")
def test_the_netlist_of_a_node_equals_the_oracle() -> None:
    """420 states of 20 samples, and the weights and biases that they leave."""
    program = build(CASE.spec, gates)
    job, after, _ = measured(CASE.spec, CASE.values, CASE.x, CASE.y, True, links=Links(stalls=70), program=program)
    expected, held = oracle.execute(CASE.spec, CASE.values, CASE.x, CASE.y, True)
    for phase in ("free", "plus", "minus"):
        for found, right in zip(getattr(job, phase), getattr(expected, phase), strict=True):
            np.testing.assert_array_equal(found, right)
    for found, right in zip(after.weights + after.biases, held.weights + held.biases, strict=True):
        np.testing.assert_array_equal(found, right)
    assert any((w != v).any() for w, v in zip(after.weights, CASE.values.weights, strict=True))
