"""The table and the picture of a rule study, from the file that is published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command import call
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg

from mep_hw.studies import rules
from mep_hw.studies.rules_plot import draw
from mep_hw.studies.rules_table import cells, markdown

RESULTS = Path(__file__).parents[2] / "docs" / "results"
COMMAND = ("study", "rules", "--task", "digits", "--hours", 0, "--out")


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.delattr(rules, "load")  # to look at a table no data are needed
    return json.loads((RESULTS / "rules" / "rules-digits.json").read_text())


def test_the_published_table_is_printed(
    table: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, content = tmp_path / "rules-digits.json", json.dumps(table, indent=1)
    path.write_text(content)
    printed = call(capsys, *COMMAND, tmp_path, "--markdown")
    assert printed.code == 0 and printed.out.count("\n") == 2 + 24
    assert printed.out in (RESULTS / "README.md").read_text()
    shown = call(capsys, *COMMAND, tmp_path)
    assert "muon, bounded 0.02 5.2 (5.3, 5.6, 4.7) 17.0 11.1 4.4" in " ".join(shown.out.split())
    assert "Not finished" not in shown.out
    assert path.read_text() == content  # and so still the commit that the runs were made with


def test_one_form_at_a_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = call(capsys, *COMMAND, tmp_path / "new", "--markdown", "--json")
    assert both.code == 2 and "study: markdown = True: stands beside json; give one of them" in both.err
    assert not (tmp_path / "new").exists()


def test_a_study_that_goes_on(table: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, third = table["rows"] = table["rows"][:3]
    first["short_mean"] = None
    second["long_errors"] = [{"1": 0.5, "3": 0.25, "10": 0.125}]
    found = {line[0]: line for line in cells(table)}
    assert set(found) == {second["variant"], third["variant"]}
    assert found[second["variant"]][1] == "0.003 (edge)"
    assert found[second["variant"]][-3:] == ["50.0", "25.0", "12.5 (1 of 3 seeds)"]
    assert found[third["variant"]][-3:] == ["", "", ""]
    assert [line[:3] for line in markdown(table).splitlines()] == ["| v", "|--", "| a", "| s"]  # the better one first
    assert "Not finished: sgd; sgd, bounded; adam" in call(capsys, *COMMAND, tmp_path).out


def test_nothing_in_the_picture_overlaps(table: dict[str, Any]) -> None:
    figure = draw(table)
    FigureCanvasAgg(figure).draw()
    for axes in figure.axes:
        for axis, low, high in ((axes.xaxis, *axes.get_xlim()), (axes.yaxis, *axes.get_ylim())):
            boxes = [label.get_window_extent() for label in labels(axis, low, high)]
            assert len(boxes) >= 2
            assert not any(box.overlaps(other) for n, box in enumerate(boxes) for other in boxes[n + 1 :])
    panel = figure.axes[1]
    legend = panel.get_legend()
    assert legend is not None and legend.get_window_extent().y0 >= panel.get_window_extent().y1


def labels(axis: Axis, low: float, high: float) -> list[Any]:
    """The tick labels that are drawn."""
    ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    return [tick.label1 for tick in ticks if low <= tick.get_loc() <= high and tick.label1.get_text()]
