"""The study of formats: complete, resumable, and its published table keeps its promise."""

from __future__ import annotations

import json
from pathlib import Path

import fpga_programs
import pytest
from command import call

PUBLISHED = Path(__file__).parents[2] / "docs" / "results" / "fpga" / "formats.json"


def test_the_study_is_complete_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fpga_programs.need("g++")
    words = ("study", "formats", "--out", tmp_path, "--model", "64-6-10", "--data", "digits", "--epochs", 2)
    grid = ("--state-bits", "4,16", "--weight-bits", "14", "--json")
    first = call(capsys, *words, *grid)
    assert first.code == 0, first.err
    table = json.loads(first.out)
    assert [(row["state_bits"], row["weight_bits"]) for row in table["rows"]] == [(4, 14), (16, 14)]
    assert min(table["rows"][1]["cosines"]) > 0.98 > min(table["rows"][0]["cosines"])
    assert table["choices"]["learning"]["formats"]["state"]["bits"] == 16
    assert (tmp_path / "formats.png").read_bytes().startswith(b"\x89PNG")
    assert "| 16 | 14 |" in (tmp_path / "formats.md").read_text()
    again = call(capsys, *words, *grid)
    assert again.err == "" and json.loads(again.out) == table
    other = call(capsys, *words, "--state-bits", "4", "--weight-bits", "14")
    assert other.code == 2 and "state_bits = [4, 16]: this study has [4]" in other.err


@pytest.mark.parametrize("bits", ["", "8,x", "1", "33"])
def test_wrong_bits(bits: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = call(capsys, "study", "formats", "--out", tmp_path / "new", "--state-bits", bits)
    assert shown.code == 2 and "must be whole numbers from 2 to 32" in shown.err and not (tmp_path / "new").exists()


def test_the_published_table_keeps_its_promise() -> None:
    """At most half a point of the full test set is lost, by a model that has learned more than its read-out."""
    table = json.loads(PUBLISHED.read_text())
    assert table["settings"]["model"] == "784-256-10" and table["settings"]["data"] == "mnist"
    model = table["model"]
    assert model["accuracy"] >= 0.97 and model["accuracy"] >= model["frozen"] + 0.05
    for run in table["choices"].values():
        assert run["test_accuracy"] >= model["accuracy"] - 0.005
        assert run["measured"]["changed"] <= run["goal"]["tolerance"]
    assert min(table["choices"]["learning"]["measured"]["cosines"]) >= 0.98
    narrow = min(table["rows"], key=lambda row: row["state_bits"] * row["weight_bits"])
    assert narrow["changed"] > 0.005 and min(narrow["cosines"]) < 0.5  # the sweep goes to where it breaks
