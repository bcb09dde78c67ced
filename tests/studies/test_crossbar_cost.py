"""The table of costs of arrays: complete, and relative to the plain product."""

from __future__ import annotations

import pytest
from command import call


def test_rows_and_ratios(capsys: pytest.CaptureFixture[str]) -> None:
    line = ("bench", "crossbar", "--size", 48, "--batch", 8, "--tile", 16, "--rounds", 3, "--json")
    printed = call(capsys, *line).json
    assert printed["settings"] == {"size": 48, "batch": 8, "tile": 16, "rounds": 3, "threads": 1}
    rows = {row["name"]: row for row in printed["rows"]}
    assert list(rows)[:3] == ["float32 product", "forward", "transposed"] and list(rows)[4] == "forward, arrays of 16"
    for device in ("constant step", "soft bounds", "reram-sb"):
        short, long = (rows[f"update, {device}, length {length}"]["pulses_per_cell"] for length in (1, 31))
        assert long == pytest.approx(31 * short, rel=0.2) and short > 0  # as many slots, as often hit
    assert {f"compile rank 16, {goal}" for goal in ("time", "energy", "wear")} < set(rows)
    assert rows["forward"]["pulses_per_cell"] == 0
    assert printed["rows"][0]["ratio"] == 1.0
    assert all(row["ms"] > 0 and row["ratio_quartiles"][0] <= row["ratio_quartiles"][1] for row in printed["rows"])
