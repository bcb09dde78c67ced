"""The command line called in this process: what it printed and its exit code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from mep_hw.cli import main


@dataclass(frozen=True)
class Called:
    """Exit code, standard output and standard error of one command line."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object that stdout holds, after a command that succeeded in silence."""
        assert (self.code, self.err) == (0, "")
        assert self.out.endswith("}\n") and self.out.count("\n") == 1
        return json.loads(self.out)


def call(capsys: pytest.CaptureFixture[str], *args: object) -> Called:
    """Run `mep-hw` with these arguments."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main([str(arg) for arg in args])
    printed = capsys.readouterr()
    assert isinstance(stopped.value.code, int)
    return Called(stopped.value.code, printed.out, printed.err)
