"""Outside programs, and headers, that tests of the FPGA tools need."""

from __future__ import annotations

import os

import pytest

from mep_hw.fpga import tools
from mep_hw.fpga.hls.headers import headers

HEADERS = "ap_fixed.h"


def need(*programs: str) -> None:
    """Skip a test where one of them is missing; under .ci/run the test fails instead."""
    for program in programs:
        try:
            if program == HEADERS:
                headers()
            else:
                tools.require(program)
        except tools.Missing as error:
            if os.environ.get("MEP_HW_CI"):
                pytest.fail(f"the checks of .ci/run need it: {error}")
            pytest.skip(f"{error}; .ci/run never skips")
