"""Finding and making the environment for Lava: what is refused says which of the ways it is wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from command import call
from lava_cases import interpreter

from mep_hw.errors import MachineError
from mep_hw.loihi import environment, setup
from mep_hw.loihi.environment import LAVA, VARIABLE, lava_python

MADE = """\
#!/bin/sh
for word; do case $word in
  venv) made=1 ;;
  pip) echo "no index to be reached" >&2; exit {pip} ;;
esac; last=$word; done
if [ "$made" ]; then mkdir -p "$last/bin" && cp "$0" "$last/bin/python" && exit; fi
case $last in *about.py) echo '{about}' ;; esac
"""


def fake(path: Path, *, python: str = "3.10.9", lava: str | None = LAVA, pip: int = 0) -> Path:
    """A program that says it is such a Python, and makes environments of its kind."""
    about = json.dumps({"python": python, "lava": lava, "numpy": "1.26.4", "hardware": False})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(MADE.format(about=about, pip=pip))
    path.chmod(0o755)
    return path


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any Python 3.10, uv or cache; the folder holds `bin`, which is on PATH, and `pyenv`."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "mkdir", "cp", "cat"):
        (tools / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{tools}")
    return tmp_path


def test_the_environment_of_these_tests() -> None:
    python = interpreter()
    found = lava_python()
    assert (found.path, found.lava, found.python.split(".")[:2]) == (python, LAVA, ["3", "10"])
    assert found.numpy and found.numpy.startswith("1.")
    assert not found.hardware  # no machine that runs these tests has Intel's extension


def test_nothing_is_set_up(bare: Path) -> None:
    with pytest.raises(MachineError, match=rf"{VARIABLE} is not set; run mep-hw loihi setup"):
        lava_python()


def test_the_variable_points_nowhere(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "/nowhere/python")
    for use in (lava_python, setup.setup):
        with pytest.raises(MachineError, match=rf"{VARIABLE}: python = /nowhere/python: points to no file; unset it"):
            use()


def test_it_does_not_run(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = bare / "broken"
    broken.write_text("#!/bin/sh\necho version not installed >&2; exit 127\n")
    monkeypatch.setenv(VARIABLE, str(broken))
    with pytest.raises(MachineError, match="does not run as a Python interpreter"):
        lava_python()
    broken.chmod(0o755)
    with pytest.raises(MachineError, match=r"does not run as a Python interpreter \(version not installed\)"):
        lava_python()


def test_it_is_another_python(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, sys.executable)
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    with pytest.raises(MachineError, match=rf"is Python {ours}.*; lava-nc {LAVA} runs in 3.10 only"):
        lava_python()


@pytest.mark.parametrize(
    ("lava", "message"), [(None, "without the package lava-nc"), ("0.9.0", "has lava-nc 0.9.0; results are checked")]
)
def test_lava_is_missing_or_another(
    lava: str | None, message: str, bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(fake(bare / "python", lava=lava)))
    with pytest.raises(MachineError, match=message):
        lava_python()


def test_it_is_made_with_the_newest_python_that_works(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stand_in = bare / "bin" / "python3.10"
    stand_in.parent.mkdir()
    stand_in.write_text("#!/bin/sh\necho no such version >&2; exit 127\n")
    stand_in.chmod(0o755)
    fake(bare / "pyenv" / "versions" / "3.10.9" / "bin" / "python")
    newest = fake(bare / "pyenv" / "versions" / "3.10.13" / "bin" / "python", python="3.10.13")
    assert setup.python310() == newest
    shown = call(capsys, "loihi", "setup", "--json").json
    made = bare / "cache" / "mep_hw" / f"lava-{LAVA}" / "bin" / "python"
    assert shown == {"path": str(made), "python": "3.10.13", "lava": LAVA, "numpy": "1.26.4", "hardware": False}
    made.write_text(made.read_text().replace(LAVA, "0.9.0"))  # whole, but changed since: told, not made again
    with pytest.raises(MachineError, match=r"has lava-nc 0\.9\.0.*remove"):
        setup.setup()


def test_an_interrupted_setup_is_made_again(bare: Path) -> None:
    python = fake(bare / "bin" / "python3.10", pip=1)
    with pytest.raises(MachineError, match="pip install --quiet lava-nc==0.10.0: no index to be reached"):
        setup.setup()
    assert (environment.interpreter()).is_file()
    with pytest.raises(MachineError, match="is not set up"):
        lava_python()
    fake(python)
    assert setup.setup().path == environment.interpreter()


def test_uv_makes_it_where_there_is_no_python(bare: Path) -> None:
    log = bare / "log"
    uv = fake(bare / "bin" / "uv")
    made = uv.read_text().replace("for word", f'echo "$@" >> {log}\nfor word', 1).replace("pip)", "never)")
    uv.write_text(made)
    assert setup.setup().lava == LAVA
    first, second = log.read_text().splitlines()[:2]
    assert first == f"venv --quiet --python 3.10 {environment.folder()}"
    assert second == f"pip install --quiet --python {environment.interpreter()} lava-nc=={LAVA}"


def test_there_is_no_python(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused = call(capsys, "loihi", "setup")
    assert refused.code == 2 and "looked for python3.10 on PATH, for pyenv's versions and for uv" in refused.err
    passed = call(capsys, "loihi", "setup", "--if-possible", "--json")
    assert passed.code == 0 and passed.err.startswith("mep-hw: note: Lava: ")
    assert json.loads(passed.out) == dict.fromkeys(("path", "python", "lava", "numpy", "hardware"))
