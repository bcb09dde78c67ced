"""`mep-hw study programming`: what it prints and writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import call

from mep_hw.cli import study_programming
from mep_hw.studies.programming_variants import DEVICES, VARIANTS, Task

COMMAND = ("study", "programming", "--task", "digits", "--seeds", "0", "--devices", "ideal", "--variants", "dion-4")


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = (Task("digits", (64, 4, 10), 32, 1, 60, 1, 60), Task("mnist", (784, 4, 10), 32, 1, 60, 1, 60))
    monkeypatch.setattr(study_programming, "TASKS", tasks)


def test_the_command_prints_what_it_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = call(capsys, *COMMAND, "--epochs", 2, "--out", tmp_path, "--json")
    printed, written = json.loads(done.out), json.loads((tmp_path / "programming-digits.json").read_text())
    assert done.code == 0 and done.err.count("\n") == 3 + 1 and "run / dion-4 / ideal / " in done.err
    assert printed == {key: value for key, value in written.items() if key != "runs"}
    (row,) = printed["rows"]
    assert printed["settings"]["task"]["epochs"] == 2 and row["variant"] == "dion-4" and row["frozen"] is not None
    picture = tmp_path / "programming-digits.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    picture.unlink()
    again = call(capsys, *COMMAND, "--epochs", 2, "--hours", 0, "--out", tmp_path, "--markdown")
    assert (again.code, again.err) == (0, "") and picture.exists()
    assert f"| ideal | dion-4 | low rank | {row['lr']:g}" in again.out
    shown = call(capsys, *COMMAND, "--epochs", 2, "--hours", 0, "--out", tmp_path).out
    assert " ".join(("dion-4", "low", "rank")) in " ".join(shown.split())


@pytest.mark.parametrize(("option", "value", "message"), [
    ("--variants", "dion-4,glue", "study: variants = glue: is not one of sgd-samples, "),
    ("--devices", "glue", "study: devices = glue: is not one of ideal, "),
    ("--task", "glue", "study: task = glue: is not one of digits, mnist"),
    ("--seeds", "0,x", "study: seeds = x: must be whole numbers"),
    ("--backend", "cpu", "study: backend = cpu: holds weights in registers"),
    ("--json", "--markdown", "study: markdown = True: stands beside json"),
])  # fmt: skip
def test_wrong_words_are_refused_in_one_line(
    option: str, value: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = call(capsys, *COMMAND, option, value, "--out", tmp_path / "new")
    assert shown.code == 2 and message in shown.err and shown.err.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_larger_tasks_need_the_digits_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = call(capsys, "study", "programming", "--task", "mnist", "--out", tmp_path / "new")
    assert shown.code == 2 and "holds no finished runs to choose the best variants by" in shown.err


def test_every_variant_and_device_is_on_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "programming.md").read_text()
    assert not [subject.name for subject in (*VARIANTS, *DEVICES) if f"`{subject.name}`" not in page]
