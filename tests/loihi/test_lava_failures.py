"""Whatever dies, hangs or talks nonsense ends in a `MachineError`, leaves no process, and the next call works.

The time limits here only keep a broken test from hanging; none is part of what is asserted, but that of the time-out.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from lava_cases import equal, interpreter, network, phase, plain

from mep_hw.errors import MachineError
from mep_hw.loihi.lava import Lava
from mep_hw.loihi.network import Curve

SUBJECT = network([5, 4, 3], 1)
SHORT = phase(SUBJECT, 2, 3, seed=2)
ENDLESS = replace(SHORT, steps=10**7)  # hours
LIMIT_S = 60.0


@pytest.fixture(scope="module")
def lava() -> Iterator[Lava]:
    with Lava(interpreter(), batched=False, timeout_s=LIMIT_S) as lava:
        yield lava


@pytest.fixture
def worker(lava: Lava) -> int:
    """The worker's process, after a phase has run."""
    assert equal(lava.settle(SUBJECT, SHORT), plain(SUBJECT, SHORT))
    assert lava.pid is not None and len(_processes(lava.pid)) > 6
    return lava.pid


def test_the_worker_is_killed(lava: Lava, worker: int) -> None:
    shared = _shared_memory(worker)
    os.kill(worker, signal.SIGKILL)
    _refused(lava, worker, "has died", shared)


def test_without_the_worker_the_processes_of_lava_end_by_themselves(lava: Lava, worker: int) -> None:
    shared = _shared_memory(worker)
    os.kill(worker, signal.SIGKILL)  # and nobody asks anything of the client, which would end them
    assert _ended(worker)
    lava.close()
    _nothing_left(lava, worker, shared)


def test_a_process_of_lava_is_killed_between_phases(lava: Lava, worker: int) -> None:
    shared = _shared_memory(worker)
    os.kill(_processes(worker)[-1], signal.SIGKILL)
    _refused(lava, worker, "a process of Lava has ended", shared)


def test_a_process_of_lava_is_killed_while_it_runs(lava: Lava, worker: int) -> None:
    shared = _shared_memory(worker)
    timer = threading.Timer(0.5, os.kill, (_processes(worker)[-1], signal.SIGKILL))
    timer.start()
    with pytest.raises(MachineError, match="a process of Lava has ended"):
        lava.settle(SUBJECT, ENDLESS)
    timer.join()
    _nothing_left(lava, worker, shared)


def test_a_phase_takes_too_long(lava: Lava, worker: int) -> None:
    shared = _shared_memory(worker)
    lava.timeout_s = 0.5
    with pytest.raises(MachineError, match=r"gave no answer within 0\.5 s"):
        lava.settle(SUBJECT, ENDLESS)
    lava.timeout_s = LIMIT_S
    _nothing_left(lava, worker, shared)


def test_a_process_that_does_not_heed_signals_is_killed(lava: Lava, worker: int) -> None:
    shared = _shared_memory(worker)
    os.kill(worker, signal.SIGSTOP)  # no SIGTERM is taken while it is stopped
    lava.close()
    _nothing_left(lava, worker, shared)


def test_an_error_inside_of_lava(lava: Lava, worker: int) -> None:
    shared = _shared_memory(worker)
    unknown = replace(SUBJECT.populations[0], low=None, high=None, curve=Curve("relu"))  # pyright: ignore[reportArgumentType]
    wrong = replace(SUBJECT, fixed=False, populations=(unknown, SUBJECT.populations[1]))
    with pytest.raises(MachineError, match="KeyError: 'relu'"):
        lava.settle(wrong, SHORT)
    _nothing_left(lava, worker, shared)


def test_the_next_call_starts_a_new_worker(lava: Lava, worker: int) -> None:
    os.kill(worker, signal.SIGKILL)
    with pytest.raises(MachineError):
        lava.settle(SUBJECT, SHORT)
    assert lava.pid is None
    assert equal(lava.settle(SUBJECT, SHORT), plain(SUBJECT, SHORT))
    assert lava.pid not in (None, worker)


def test_the_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys; from pathlib import Path\n"
        "from lava_cases import network, phase; from mep_hw.loihi.lava import Lava\n"
        "lava = Lava(Path(sys.argv[1]), batched=False, timeout_s=1000)\n"
        "subject = network([5, 4, 3], 1)\n"
        "lava.settle(subject, phase(subject, 2, 3, seed=2)); print(lava.pid, flush=True)\n"
        "lava.settle(subject, phase(subject, 2, 10**7, seed=2))\n"
    )
    paths = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
    parent = subprocess.Popen(
        [sys.executable, script, interpreter()], stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
    )  # fmt: skip
    assert parent.stdout is not None
    with parent.stdout:
        worker = int(parent.stdout.readline())
    shared = _shared_memory(worker)
    assert len(_processes(worker)) > 6
    parent.kill()
    parent.wait()
    assert _ended(worker)
    assert _within(LIMIT_S, lambda: not any(path.exists() for path in shared))


GARBAGE = {
    "a length beyond all bounds": ("printf 'what?'; sleep 1000", "no message"),
    "no JSON": (r"printf '\000\000\000\010\000\000\000\004what'; sleep 1000", "no message"),
    "no arrays": (r"printf '\000\000\000\012\000\000\000\002{}what'; sleep 1000", "no message"),
    "no object": (r"printf '\000\000\000\005\000\000\000\0015'; sleep 1000", "no message"),
    "half an archive": (r"printf '\000\000\000\012\000\000\000\002{}PK\003\004'; sleep 1000", "no message"),
    "half a message": (r"printf '\000\000'; sleep 1000", "gave no answer within 0.5 s"),
    "an early end": ("echo out of order >&2; exit 3", "has died.*out of order"),
}


@pytest.mark.parametrize("case", GARBAGE)
def test_what_comes_is_no_message(case: str, tmp_path: Path) -> None:
    script, message = GARBAGE[case]
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\n{script}\n")
    program.chmod(0o755)
    lava = Lava(program, batched=False, timeout_s=0.5 if "half" in case else LIMIT_S)
    with pytest.raises(MachineError, match=message):
        lava.about()
    assert _ended(int((tmp_path / "pid").read_text()))


def test_no_program(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"program = .*nothing: cannot be started .*mep-hw loihi setup"):
        Lava(tmp_path / "nothing", batched=True, timeout_s=LIMIT_S).about()


def _refused(lava: Lava, worker: int, message: str, shared: set[Path]) -> None:
    with pytest.raises(MachineError, match=message):
        lava.settle(SUBJECT, SHORT)
    _nothing_left(lava, worker, shared)


def _nothing_left(lava: Lava, worker: int, shared: set[Path]) -> None:
    assert lava.pid is None
    assert _ended(worker)
    assert shared and not any(path.exists() for path in shared)


def _ended(session: int) -> bool:
    """Pipes are closed, which is what the client waits for, a moment before a process is off the list."""
    return _within(LIMIT_S, lambda: not _processes(session))


def _processes(session: int) -> list[int]:
    """All processes of a session that have not ended, by their numbers."""
    found = list[int]()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(entry.name))
    return sorted(found)


def _shared_memory(session: int) -> set[Path]:
    """Named shared memory that any process of a session has mapped."""
    names = set[Path]()
    for process in _processes(session):
        lines = Path(f"/proc/{process}/maps").read_text().splitlines()
        names |= {Path(line.split()[5]) for line in lines if "/dev/shm/psm_" in line}
    assert names
    return names


def _within(seconds: float, holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.05)
    return holds()
