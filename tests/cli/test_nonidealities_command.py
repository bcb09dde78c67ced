"""`mep-hw study nonidealities`: what it prints and writes, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from command import call

from mep_hw.data import digits
from mep_hw.studies.error_sources import SOURCES

COMMAND = ("study", "nonidealities", "--model", "64-4-10", "--epochs", "1", "--seeds", "0")


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Studies of 100 digits."""
    data = digits()
    small = replace(data, x=data.x[:100], y=data.y[:100])
    monkeypatch.setattr("mep_hw.studies.nonidealities.as_data", lambda _: small)


def test_the_command_prints_what_it_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = call(capsys, *COMMAND, "--sources", "stuck, dac-bits", "--out", tmp_path, "--json")
    printed, written = json.loads(done.out), json.loads((tmp_path / "nonidealities.json").read_text())
    assert done.code == 0 and done.err.count("\n") == 2 + 4 + 4 and "10 of 10: dac-bits / 2 / seed 0: " in done.err
    assert printed == {key: value for key, value in written.items() if key != "runs"}
    assert [(row["source"], row["strength"]) for row in printed["rows"]] == [
        (source.name, s) for source in SOURCES if source.name in ("dac-bits", "stuck") for s in source.strengths
    ]  # fmt: skip
    assert printed["settings"]["model"] == "64-4-10" and printed["settings"]["training"]["epochs"] == 1
    picture = tmp_path / "nonidealities.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    picture.unlink()
    again = call(capsys, *COMMAND, "--sources", "stuck", "--out", tmp_path)
    assert (again.code, again.err) == (0, "") and picture.exists()  # nothing was left to run
    lines = [line.split() for line in again.out.splitlines()]
    (line,) = [words for words in lines if words[:2] == ["stuck", "0.2"]]
    row = printed["rows"][-1]
    shown = [f"{100 * row['mean']:.1f}", f"{100 * row['spread']:.1f}", f"{row['points_lost']:.1f}", "1"]
    assert line[2] == "1" and line[3:7] == shown
    assert sum(words[:1] == ["dac-bits"] for words in lines) == 4  # of the first call


@pytest.mark.parametrize(("option", "value", "message"), [
    ("--sources", "stuck,glue", "study: sources = glue: is not one of dac-bits, "),
    ("--sources", "", "study: sources = "),
    ("--seeds", "0,x", "study: seeds = x: must be whole numbers"),
    ("--model", "8-4-10", "8"),
    ("--model", "glue", "glue"),
])  # fmt: skip
def test_wrong_words_are_refused_in_one_line(
    option: str, value: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = call(capsys, *COMMAND, option, value, "--out", tmp_path / "new")
    assert shown.code == 2 and message in shown.err and shown.err.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_every_source_is_on_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "nonidealities.md").read_text()
    table = [line.split(" | ") for line in page.splitlines() if line.startswith("| `")]
    assert [(line[0].strip("|` "), line[-1].strip("| ")) for line in table] == [(s.name, s.unit) for s in SOURCES]
