"""`devices fit` and `devices show --plot`: what they write and print, and every bad input in one line and no files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cell_arrays import device
from command import call
from pulse_files import SIEMENS, write_pulses

from mep_hw.cards import load_device, root
from mep_hw.fit import FAMILIES

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def pulses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    card = device("reram-sb", dw_min=0.05, noise__cycle=0.3, noise__write=0.1, spread__w_min=0.1, spread__w_max=0.1)
    return write_pulses(tmp_path_factory.mktemp("pulses") / "pulses.csv", card, 4, 80, 3, SIEMENS)


@pytest.mark.parametrize("family", [*FAMILIES, "table"])
def test_a_fit_writes_a_card_that_loads_and_a_picture(
    family: str, pulses: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "my-cell"
    if family == "exp-step":  # the others' steps fall on lines, to which exponentials come only in the limit
        card = device("reram-es", dw_min=0.01, noise__cycle=0.3, noise__write=0.1)
        pulses = write_pulses(tmp_path / "pulses.csv", card, 4, 200, 2, SIEMENS)
    report = call(capsys, "devices", "fit", pulses, "--family", family, "--out", out, "--json").json
    card = load_device(out)  # by its folder, whose name it must bear
    assert card.family == report["family"] == family and card.agrees_with == "measured hardware"
    assert report["source"] == "pulses.csv" and report["cells"] == 4 and report["pulses"] > 500
    assert report["card"] == str(out / "card.yaml") and report["plot"] == str(out / "fit.png")
    assert (out / "fit.png").read_bytes().startswith(PNG)
    tables = {f"{kind}_{part}.txt" for kind in ("up", "down") for part in ("axis_level_G", "axis_level_dG", "cdf")}
    expected = {"card.yaml", "fit.png"} | (tables if family == "table" else set())
    assert {path.name for path in out.iterdir()} == expected
    shown = call(capsys, "devices", "show", out / "card.yaml", "--plot", tmp_path / "stairs.png")
    assert (shown.code, shown.err) == (0, "") and (tmp_path / "stairs.png").read_bytes().startswith(PNG)


def test_a_fit_shows_tables_and_takes_a_name(pulses: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--family", "soft-bounds", "--out", tmp_path / "X", "--name", "cell-7", "--simulated")
    shown = call(capsys, "devices", "fit", pulses, *options)
    assert (shown.code, shown.err) == (0, "")
    for word in ("dw_min", "spread.w_max", "noise.cycle", "rms residual", "soft-bounds", "card.yaml"):
        assert word in shown.out
    card = load_device(tmp_path / "X" / "card.yaml")
    assert (card.name, card.agrees_with) == ("cell-7", "another simulator")


def test_a_folder_of_tables_is_fitted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = root("devices") / "oxide-1v5"
    line = ("devices", "fit", folder, "--family", "table", "--up", "1.5V_set", "--down", "1.5V_reset")
    report = call(capsys, *line, "--out", tmp_path / "mine", "--json").json
    assert report["cells"] is None and report["pulses"] is None and report["tables"][0]["rows"] == 100
    for path in folder.glob("1.5V*"):
        assert (tmp_path / "mine" / path.name).read_bytes() == path.read_bytes()


def edited(line: int, text: str) -> Callable[[str], str]:
    """Replaces one line of the file, counted from 1."""

    def edit(content: str) -> str:
        lines = content.splitlines()
        lines[line - 1] = text
        return "\n".join(lines)

    return edit


def only(kind: str) -> Callable[[str], str]:
    """One cell with pulses of one direction."""
    rows = [f"c,{n + 1},{kind},{1e-5 + 1e-7 * n}" for n in range(50)]
    return lambda _: "\n".join(["cell,pulse,direction,conductance", "c,0,start,1e-5", *rows])


def upside_down(content: str) -> str:
    return content.replace(",up,", ",x,").replace(",down,", ",up,").replace(",x,", ",down,")


BAD: list[tuple[str, Callable[[str], str], str]] = [
    ("soft-bounds", lambda c: c.replace("pulse,", "pulses,", 1), "= cell, pulses, direction, conductance: pulse is"),
    ("soft-bounds", lambda c: c.replace("conductance", "current", 1), "conductance is missing; the first line must"),
    ("soft-bounds", lambda c: c.replace("cell,", "cell,weight,", 1), "conductance and weight are both there"),
    ("soft-bounds", lambda _: "", "columns = : cell is missing"),
    ("soft-bounds", lambda c: c.splitlines()[0], "holds no readings; give one row per reading"),
    ("soft-bounds", edited(5, "c0,3,up,abc"), "line 5: conductance = abc: must be a number; remove rows"),
    ("soft-bounds", edited(5, "c0,3,up,"), "line 5: conductance = : must be a number"),
    ("soft-bounds", edited(5, "c0,3,up"), "line 5: conductance = : must be a number"),
    ("soft-bounds", edited(5, "c0,3,up,nan"), "line 5: conductance = nan: must be finite"),
    ("soft-bounds", edited(5, "c0,3,up,-1e-6"), "line 5: conductance = -1e-6: must be above 0; give siemens"),
    ("soft-bounds", edited(5, "c0,3,up,0"), "line 5: conductance = 0: must be above 0; give siemens"),
    ("soft-bounds", edited(5, "c0,3,left,1e-5"), "line 5: direction = left: must be up, down or start"),
    ("soft-bounds", edited(5, "c0,3,start,1e-5"), "line 5: direction = start: start belongs to pulse 0"),
    ("soft-bounds", edited(2, "c0,0,up,1e-5"), "line 2: direction = up: start belongs to pulse 0"),
    ("soft-bounds", edited(5, "c0,4,up,1e-5"), "line 5: pulse = 4: must be 3 or 0, as pulses of cell c0 count"),
    ("soft-bounds", edited(5, "c0,2.5,up,1e-5"), "line 5: pulse = 2.5: must be a whole number, 0 or above"),
    ("soft-bounds", edited(2, "c0,1,up,1e-5"), "line 2: pulse = 1: must be 0"),
    ("soft-bounds", edited(5, ",3,up,1e-5"), "line 5: cell: is empty"),
    ("soft-bounds", only("up"), "direction: there is no down pulse; measure both directions"),
    ("table", only("down"), "direction: there is no up pulse; measure both directions"),
    ("soft-bounds", lambda c: "\n".join(c.splitlines()[:90]), "cell c0: has"),
    ("table", lambda c: "\n".join(c.splitlines()[:90]), "pulses = 88: must hold 20 pulses of each direction near"),
    ("soft-bounds", lambda c: c + "\nflat,0,start,1e-5\nflat,1,up,1e-5", "cell = flat: all its readings are equal"),
    ("constant-step", upside_down, "cell c0: up step = -"),
    ("piecewise", upside_down, "cell c0: up pulses do not move it up; exchange up and down"),
    ("table", lambda c: c.replace("conductance", "weight", 1), "weight: a table needs conductances; give a column"),
    ("constant-step", lambda c: c.replace("conductance", "weight", 1).replace("e-05", "").replace("e-06", "e-1"),
     "must lie on both sides of 0, where dw_min is defined; subtract"),
    ("exp-step", lambda c: c, "the fit does not converge; give more pulses"),
    ("soft-bound", lambda c: c, "family = soft-bound: is not a family that can be fitted; did you mean 'soft-bounds'?"),
    ("ideal", lambda c: c, "fit: family = ideal: is not a family that can be fitted; "),
]  # fmt: skip


@pytest.mark.parametrize(("family", "spoil", "message"), BAD, ids=[f"{b[0]}-{n}" for n, b in enumerate(BAD)])
def test_bad_pulses_are_refused_in_one_line_and_leave_no_files(
    family: str, spoil: Callable[[str], str], message: str, pulses: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    bad = tmp_path / "bad.csv"
    bad.write_text(spoil(pulses.read_text()))
    refused(capsys, bad, "--family", family, "--out", tmp_path / "out", message=message)
    assert list(tmp_path.iterdir()) == [bad]


def refused(capsys: pytest.CaptureFixture[str], *words: object, message: str) -> None:
    shown = call(capsys, "devices", "fit", *words)
    assert (shown.code, shown.out) == (2, "")
    assert shown.err.startswith("mep-hw: error: ") and shown.err.count("\n") == 1
    assert message in shown.err


def test_options_that_make_no_sense_are_refused(
    pulses: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ("--out", tmp_path / "out")
    folder = root("devices") / "oxide-1v5"
    refused(
        capsys, tmp_path / "none.csv", "--family", "piecewise", *out, message="none.csv: cannot be read: No such file"
    )
    refused(capsys, folder, "--family", "soft-bounds", *out, message="oxide-1v5: cannot be read: Is a directory")
    refused(capsys, folder, "--family", "table", *out, message="up and down: must be given for a folder of tables")
    refused(
        capsys, folder, "--family", "table", "--up", "a", "--down", "b", *out, message="a_axis_level_G.txt: cannot be"
    )
    refused(
        capsys, pulses, "--family", "table", "--up", "a", "--down", "b", *out, message="belong to a folder of tables"
    )
    refused(capsys, pulses, "--family", "piecewise", "--up", "a", *out, message="up and down: belong to --family table")
    refused(capsys, pulses, "--family", "piecewise", "--name", "My cell", *out, message="card My cell: name = My cell:")
    image = tmp_path / "pulses.csv"
    image.write_bytes(PNG + b"\xff\xfe")
    refused(capsys, image, "--family", "piecewise", *out, message="pulses.csv: is not a CSV file")
    assert list(tmp_path.iterdir()) == [image]


@pytest.mark.parametrize("name", ["ideal", "flash-sonos"])
def test_cells_without_pulses_have_no_staircase(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = call(capsys, "devices", "show", name, "--plot", tmp_path / "x.png")
    assert (shown.code, shown.out) == (2, "") and shown.err.count("\n") == 1
    assert f"device {name}: response.family = " in shown.err and "choose a device with a pulse response" in shown.err
    assert not list(tmp_path.iterdir())


def test_the_card_is_printed_beside_its_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = call(capsys, "devices", "show", "fefet", "--plot", tmp_path / "x.png", "--json").json
    assert shown == load_device("fefet").model_dump(mode="json")
    assert (tmp_path / "x.png").read_bytes().startswith(PNG)
