"""A worker process behind two pipes: every exchange has a time limit, and nothing outlives a failure.

The worker leads a session and a process group of its own, so that all that Lava forks can be found and ended. Its
standard error is read by a thread, of which the last lines are part of every error.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import IO, Any, NoReturn

from mep_hw.errors import MachineError
from mep_hw.loihi.worker import frames

LINES = 20  # of standard error that are kept
GRACE_S = 3.0  # to end in good order, which removes the shared memory, before what is left is killed
LARGEST = 1 << 30  # bytes; a longer message is no message


class Child:
    """One running worker.

    Args:
        command: program and arguments; it must answer a first message of its own, the greeting.
        name: how errors call it.
    """

    def __init__(self, command: Sequence[str], name: str) -> None:
        self.name = name
        threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
                start_new_session=True, env=os.environ | threads,
            )  # fmt: skip
        except OSError as error:
            rule = f"cannot be started ({error.strerror})"
            raise MachineError(name, "program", command[0], rule=rule, fix="run mep-hw loihi setup") from None
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._in, False)
        os.set_blocking(self._out, False)
        self._lines: deque[str] = deque(maxlen=LINES)
        self._reader = threading.Thread(target=self._keep, args=(self._process.stderr,), daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Also the number of its session and of its process group."""
        return self._process.pid

    def send(self, header: dict[str, Any], arrays: dict[str, Any], timeout_s: float) -> None:
        """Write a message.

        Raises:
            MachineError: the worker died or did not take it in time; it is ended.
        """
        deadline, rest = time.monotonic() + timeout_s, memoryview(frames.pack(header, arrays))
        while rest:
            self._wait([], [self._in], deadline, timeout_s)
            try:
                rest = rest[os.write(self._in, rest) :]
            except BrokenPipeError:
                self._fail("has died")

    def receive(self, timeout_s: float) -> tuple[dict[str, Any], dict[str, Any]]:
        """Read a message.

        Raises:
            MachineError: the worker died, sent no message in time, or something that is none, or an error; it is
                ended.
        """
        deadline = time.monotonic() + timeout_s
        length = int.from_bytes(self._exactly(4, deadline, timeout_s), "big")
        if not 4 <= length <= LARGEST:
            self._fail(f"sent something that is no message (its length would be {length})")
        message = self._exactly(length, deadline, timeout_s)
        try:
            header, arrays = frames.unpack(message)
            wrong = header.get("error")
        except Exception as error:  # whatever json, zipfile and numpy make of it
            self._fail(f"sent something that is no message ({error})")
        if wrong is not None:
            self._fail(f"failed ({wrong})")
        return header, arrays

    def end(self) -> None:
        """End the worker and its whole group; returns when none is left. To end it again does nothing."""
        if self._process.returncode is not None:
            return
        # In good order, else the worker first: when it is gone, Python's keeper of shared memory removes what is left.
        group = partial(os.killpg, self.pid)
        for send in (partial(group, signal.SIGTERM), self._process.kill, partial(group, signal.SIGKILL)):
            with contextlib.suppress(ProcessLookupError):
                send()
            self._reader.join(GRACE_S)  # it ends with the last process that holds standard error, as all of them do
            if not self._reader.is_alive():
                break
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def _exactly(self, count: int, deadline: float, timeout_s: float) -> bytes:
        content = bytearray()
        while len(content) < count:
            self._wait([self._out], [], deadline, timeout_s)
            part = os.read(self._out, min(count - len(content), 1 << 20))
            if not part:
                self._fail("has died")
            content += part
        return bytes(content)

    def _wait(self, readable: list[int], writable: list[int], deadline: float, timeout_s: float) -> None:
        found = select.select(readable, writable, [], max(deadline - time.monotonic(), 0))
        if not (found[0] or found[1]):
            self._fail(f"gave no answer within {timeout_s:g} s")

    def _fail(self, what: str) -> NoReturn:
        self.end()
        last = " | ".join(self._lines) or "nothing"
        fix = "the next call starts a new one; mep-hw loihi setup checks its environment"
        raise MachineError(self.name, rule=f"{what}; its last lines were: {last}", fix=fix)

    def _keep(self, pipe: IO[bytes]) -> None:
        for line in iter(pipe.readline, b""):
            if line.strip():
                self._lines.append(line.decode(errors="replace").strip())
