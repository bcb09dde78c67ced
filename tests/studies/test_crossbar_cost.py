"""The table of read costs: complete, and relative to the plain product."""

from __future__ import annotations

import pytest
from command import call


def test_rows_and_ratios(capsys: pytest.CaptureFixture[str]) -> None:
    line = ("bench", "crossbar", "--size", 48, "--batch", 8, "--tile", 16, "--rounds", 3, "--json")
    printed = call(capsys, *line).json
    assert printed["settings"] == {"size": 48, "batch": 8, "tile": 16, "rounds": 3, "threads": 1}
    names = [row["read"] for row in printed["rows"]]
    assert names[:3] == ["float32 product", "forward", "transposed"] and names[-1] == "forward, arrays of 16"
    assert printed["rows"][0]["ratio"] == 1.0
    assert all(row["ms"] > 0 and row["ratio_quartiles"][0] <= row["ratio_quartiles"][1] for row in printed["rows"])
