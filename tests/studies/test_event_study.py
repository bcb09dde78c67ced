"""The study of events: complete, resumable, honest about what it does not know, and its published table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import call

from mep_hw.loihi.energy import energy_j
from mep_hw.loihi.limits import load_chip

PUBLISHED = Path(__file__).parents[2] / "docs" / "results" / "events" / "events.json"


def test_the_study_is_complete_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("study", "events", "--out", tmp_path, "--model", "64-6-10", "--epochs", 1, "--thresholds", "1,64")
    first = call(capsys, *words, "--seeds", "0", "--json")
    assert first.err.count("\n") == 3
    table = json.loads(first.out)
    assert [row["threshold"] for row in table["rows"]] == [0, 1, 64]
    assert (tmp_path / "events.png").read_bytes().startswith(b"\x89PNG")
    every, changes, few = table["rows"]
    # All of 64 inputs and 16 units send in each of 64 steps; every change gives the same accuracy, by fewer events.
    assert every["events_free"] == 80 * 64 and every["operations_free"] == 64 * (64 * 6 + 2 * 60)
    assert changes["accuracies"] == every["accuracies"] and changes["sent_accuracies"] == every["sent_accuracies"]
    assert every["events_free"] > changes["events_free"] > few["events_free"] > 0
    assert all(value == pytest.approx(1) for value in changes["cosines"].values())
    assert every["energy_free_j"] == pytest.approx(64 * (504 * 23.6e-12 + 16 * 81e-12))
    assert sum(few["steps_free"]) < few["events_free"]  # the input is left out
    again = call(capsys, *words, "--seeds", "0", "--json")
    assert again.err == "" and json.loads(again.out)["rows"] == table["rows"]
    other = call(capsys, *words[:-1], "1,32", "--seeds", "0")
    assert other.code == 2 and "thresholds = [0, 1, 64]: this study has [0, 1, 32]" in other.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--chip", "loihi2"), "chip loihi2: energy.synaptic_operation: is not known"),
        (("--thresholds", "1,x"), "study: thresholds = x: must be whole numbers of at least 0"),
        (("--thresholds", "-1"), "study: thresholds = -1: must be whole numbers of at least 0"),
        (("--chip", "loihi3"), "chip = loihi3: is not a known chip"),
    ],
)
def test_wrong_options(
    words: tuple[str, str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = call(capsys, "study", "events", "--out", tmp_path / "new", *words)
    assert shown.code == 2 and message in shown.err and not (tmp_path / "new").exists()


def test_the_published_table_says_what_the_page_says() -> None:
    table = json.loads(PUBLISHED.read_text())
    rows = {row["threshold"]: row for row in table["rows"]}
    assert list(rows) == [0, 1, 4, 16, 64, 256] and all(len(row["seeds"]) == 3 for row in rows.values())
    for row in rows.values():
        assert row["mean"] >= 0.94 and row["mean"] >= row["frozen_mean"] + 0.10 and row["diverged"] == 0
        updates = table["settings"]["updates"][0]
        assert row["energy_free_j"] == pytest.approx(energy_j(row["operations_free"], updates, load_chip("loihi1")))
    assert rows[1]["accuracies"] == rows[0]["accuracies"] and rows[1]["sent_accuracies"] == rows[0]["sent_accuracies"]
    shares = [row["share_free"] for row in rows.values()]
    assert shares == sorted(shares, reverse=True) and rows[1]["share_free"] < 0.1
