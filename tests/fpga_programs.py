"""Outside programs that tests of the FPGA tools need."""

from __future__ import annotations

import os

import pytest

from mep_hw.fpga import tools


def need(program: str) -> None:
    """Skip a test where the program is missing; under .ci/run the test fails instead."""
    if tools.found(program) is None:
        package = tools.PACKAGES.get(program, program)
        if os.environ.get("MEP_HW_CI"):
            pytest.fail(f"the checks of .ci/run need {program}: install {package}")
        pytest.skip(f"needs {program}: install {package}; .ci/run never skips")
