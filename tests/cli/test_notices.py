"""Notices on the command line: one line on stderr, once, and stdout stays clean."""

from __future__ import annotations

import json
import warnings

import pytest
from command import call

from mep_hw.errors import Notice


def test_a_notice_is_one_line_and_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    shown = call(capsys, "train", "--model", "64-8-10", "--epochs", 1, "--spectral-bound", 0.5, "--control", "--json")
    assert shown.code == 0 and json.loads(shown.out)["epochs"] == 1
    line = "mep-hw: note: spectral_bound: 64-8-10 couples no hidden layers, so the read-out's coupling is bounded\n"
    assert shown.err == line


def test_the_filter_of_the_caller_comes_back(capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, "backends")
    with pytest.raises(Notice):
        warnings.warn("as before", Notice, stacklevel=1)
