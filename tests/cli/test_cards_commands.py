"""`backends`, `devices` and their `show`: names in full, every field with its meaning."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import call
from rich.console import Console

from mep_hw.cards import BackendCard, backend_names, device_names, load_backend, load_device, root
from mep_hw.cli import cards, output

NAMES = {"backends": backend_names, "devices": device_names}
LOAD = {"backends": load_backend, "devices": load_device}


@pytest.mark.parametrize("kind", NAMES)
def test_the_list_has_every_name_in_full(
    kind: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    shown = call(capsys, kind)
    assert (shown.code, shown.err) == (0, "")
    lines = [line.split() for line in shown.out.splitlines() if line.strip()]
    assert [words[0] for words in lines[2:]] == NAMES[kind]()
    for name in NAMES[kind]():
        assert LOAD[kind](name).summary in shown.out


def test_on_a_narrow_terminal_only_the_other_columns_wrap(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "console", lambda: Console(width=40, markup=False))
    name = "a-name-of-thirty-two-characters-"
    output.rows(("name", "summary"), [[name, "several words that do not fit beside it"]])
    assert name in capsys.readouterr().out


@pytest.mark.parametrize("kind", NAMES)
def test_the_list_as_json(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    listed = call(capsys, kind, "--json").json
    assert list(listed) == [kind]
    assert [card["name"] for card in listed[kind]] == NAMES[kind]()
    for card in listed[kind]:
        whole = LOAD[kind](card["name"]).model_dump(mode="json")
        assert card.items() <= whole.items()


@pytest.mark.parametrize("kind", NAMES)
def test_show_as_json_is_the_card(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in NAMES[kind]():
        assert call(capsys, kind, "show", name, "--json").json == LOAD[kind](name).model_dump(mode="json")


def test_show_has_every_field_with_value_and_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    shown = call(capsys, "backends", "show", "cpu")
    assert (shown.code, shown.err) == (0, "")
    words = {line.split()[0]: line for line in shown.out.splitlines() if line.strip()}
    card = load_backend("cpu")
    for name in BackendCard.model_fields.keys() - {"compute", "settle", "training", "conformance", "schema_"}:
        assert name in words
    assert repr(card.conformance.apply_cosine) in words["conformance.apply_cosine"]  # not rounded to 1
    assert "passes over the training samples" in words["training.epochs"]
    assert "null" in words["settle.euler_step"]


def test_show_tells_unit_and_source_of_a_quantity(capsys: pytest.CaptureFixture[str]) -> None:
    shown = call(capsys, "devices", "show", "ideal").out
    line = next(line for line in shown.splitlines() if line.strip().startswith("w_max"))
    card = load_device("ideal")
    assert "(weight)" in line and "highest weight" in line and card.w_max.source in line


def test_a_card_is_shown_by_path_with_its_brackets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (root("backends") / "cpu" / "card.yaml").read_text(encoding="utf-8")
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("summary: Fast settling", "summary: A [bold]fast[/bold]"), encoding="utf-8")
    shown = call(capsys, "backends", "show", path)
    assert shown.out.startswith("cpu: A [bold]fast[/bold] on")


def test_the_help_names_a_card_that_exists() -> None:
    for app, names in ((cards.backends, backend_names), (cards.devices, device_names)):
        assert app.info.epilog is not None
        assert app.info.epilog.split()[-1] in names()
