"""Tests that need an outside program are skipped without it, and fail where .ci/run should have installed it."""

from __future__ import annotations

import os

import pytest

from mep_hw.fpga import tools
from mep_hw.fpga.hls.headers import headers

HEADERS = "ap_fixed.h"


def needs(*programs: str) -> pytest.MarkDecorator:
    """A mark for tests that need these programs, or `ap_fixed.h`."""
    missing = [name for name in programs if not _is_here(name)]
    reason = f"needs {', '.join(missing)}; .ci/run installs it and never skips"
    return pytest.mark.skipif(bool(missing) and "MEP_HW_CI" not in os.environ, reason=reason)


def _is_here(name: str) -> bool:
    if name != HEADERS:
        return tools.found(name) is not None
    try:
        headers()
    except tools.Missing:
        return False
    return True
