"""The study of links, on few of its rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from mep_hw.studies import fpga_cluster
from mep_hw.studies.fpga_cluster_plot import cluster_markdown, plot_cluster


def test_rows_rest_within_the_bound_and_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fpga_cluster, "LATENCIES", (300,))
    monkeypatch.setattr(fpga_cluster, "NODES", (4,))
    monkeypatch.setattr(fpga_cluster, "SAMPLES", 1)
    monkeypatch.setattr(fpga_cluster, "UNITS", (64, 32, 16, 32, 10))
    told: list[str] = []
    table = fpga_cluster.cluster_links(told.append)
    assert len(table["rows"]) == len(told) == 4
    for row in table["rows"]:
        assert row["at_rest"] and row["of_bound"] <= 1 and row["cosine"] > 0.95
    synchronous, asynchronous = table["rows"][:2]
    assert synchronous["cosine"] == pytest.approx(1) and synchronous["steps_least"] == synchronous["steps_most"]
    assert asynchronous["cycles_free"] < synchronous["cycles_free"]  # it hides some of this latency
    plot_cluster(table, tmp_path / "cluster.png")
    assert (tmp_path / "cluster.png").stat().st_size > 10_000
    assert cluster_markdown(table).count("\n|") == 6
