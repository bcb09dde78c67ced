"""A node's netlist of gates, as Yosys makes it, against the oracle."""

from __future__ import annotations

import fpga_cases
import numpy as np
import pytest
from fpga_programs import need

from mep_hw.fpga import oracle
from mep_hw.fpga.rtl.gates import gates
from mep_hw.fpga.rtl.lockstep import Links, measured
from mep_hw.fpga.rtl.verilate import build


@pytest.fixture(scope="module", autouse=True)
def programs() -> None:
    need("yosys", "verilator", "g++")


def test_gates_equal_the_oracle() -> None:
    case = fpga_cases.make(2, 2, 2, lanes=1, learning=True, seed=1, rows=20)
    links = Links(stalls=60, limit=1_000_000)
    program = build(case.spec, gates)
    job, after, _ = measured(case.spec, case.values, case.x, case.y, True, links=links, program=program)
    right, held = oracle.execute(case.spec, case.values, case.x, case.y, True)
    for phase in ("free", "plus", "minus"):
        for a, b in zip(getattr(job, phase), getattr(right, phase), strict=True):
            np.testing.assert_array_equal(a, b)
    for a, b in zip(after.weights + after.biases, held.weights + held.biases, strict=True):
        np.testing.assert_array_equal(a, b)
