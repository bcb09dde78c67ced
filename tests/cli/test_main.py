"""The frame around all commands: help, version, usage errors, and the two ways to start it as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from command import call

import mep_hw

COMMANDS = ("train", "evaluate", "gradcheck", "conformance", "backends", "devices", "export", "bench")


def process(*args: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "mep_hw", *args]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    shown = call(capsys, "--version")
    assert (shown.code, shown.out, shown.err) == (0, f"mep-hw {mep_hw.__version__}\n", "")


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    shown, asked = call(capsys), call(capsys, "--help")
    assert (shown.code, shown.err) == (asked.code, asked.err) == (0, "")
    assert shown.out.split() == asked.out.split()
    for name in COMMANDS:
        assert name in shown.out


@pytest.mark.parametrize("command", [*COMMANDS, "bench speed", "backends show", "devices show"])
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = call(capsys, *command.split(), "--help")
    assert (shown.code, shown.err) == (0, "")
    assert f"Usage: mep-hw {command}" in shown.out
    if " " not in command:
        assert f"mep-hw {command}" in shown.out.partition("Examples:")[2]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("frobnicate", "No such command 'frobnicate'; see mep-hw --help"),
        ("train --rnak 3", "No such option: --rnak"),
        ("train --epochs", "Option '--epochs' requires an argument"),
        ("train --epochs ten", "Invalid value for '--epochs'"),
        ("train surplus", "Got unexpected extra argument(s) (surplus); see mep-hw train --help"),
        ("evaluate", "Missing option '--checkpoint'; see mep-hw evaluate --help"),
        ("conformance", "Missing option '--backend'; see mep-hw conformance --help"),
        ("backends show", "Missing argument"),
        ("backends --json show cpu", "backends: --json: belongs to the command after it; write"),
        ("gradcheck --seed -1", "Invalid value for '--seed'"),
        ("gradcheck --seed 4294967296", "Invalid value for '--seed'"),
        ("bench speed --threads 0", "Invalid value for '--threads'"),
    ],
)
def test_usage_errors_are_one_line(args: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = call(capsys, *args.split())
    assert (shown.code, shown.out) == (2, "")
    assert shown.err.startswith(f"mep-hw: error: {message}")
    assert shown.err.count("\n") == 1


def test_as_a_process_the_json_stands_alone_on_stdout() -> None:
    done = process("train", "--model", "64-8-10", "--epochs", "1", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["epochs"] == 1
    assert done.stdout.count("\n") == 1


def test_as_a_process_bad_input_exits_with_2() -> None:
    done = process("train", "--backend", "cpux")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("mep-hw: error: backend = cpux: is not a known backend; did you mean 'cpu'?")
    assert done.stderr.count("\n") == 1
