"""One end of a link: frames of 32-bit words over a stream socket, as `mep_hw.fpga.node` writes them.

A thread takes what comes, so that a sender never waits for the receiver's step and two nodes that both send cannot
block each other. Latency and jitter are added here: a frame is there when its time has come. A lost frame is one that
its sender does not write.
"""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass

import numpy as np

from mep_hw.errors import InputError
from mep_hw.fpga.cluster.protocol import CLOSING, LAST, told_of
from mep_hw.fpga.spec import Whole


@dataclass(frozen=True)
class Timing:
    """Of links and stalls between processes, in seconds.

    Args:
        drop: probability that a frame is lost.
        stall: probability that a step takes `stall_s` longer.
        limit: steps of every node after which an asynchronous phase ends, though states still move.
        timeout_s: longest wait for a frame in the synchronous mode and for a closing frame, and, with two seconds more,
            for any sign of a node that works.
    """

    latency_s: float = 0.0
    jitter_s: float = 0.0
    drop: float = 0.0
    stall: float = 0.0
    stall_s: float = 0.0
    limit: int = 5000
    timeout_s: float = 20.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("latency_s", "jitter_s", "stall_s"):
            if not 0 <= getattr(self, name) <= 10:
                raise _wrong(name, getattr(self, name), "must be from 0 to 10 s")
        if not 0 < self.timeout_s <= 3600:
            raise _wrong("timeout_s", self.timeout_s, "must be above 0 and at most 3600 s")
        if not 1 <= self.limit <= LAST:
            raise _wrong("limit", self.limit, f"must be from 1 to {LAST}")
        for name in ("drop", "stall"):
            if not 0 <= getattr(self, name) <= 1:
                raise _wrong(name, getattr(self, name), "must be a probability")


class Closed(Exception):
    """The other end is gone."""


class Link:
    """One end.

    Args:
        units: states in each frame that comes.
    """

    def __init__(self, end: socket.socket, units: int, timing: Timing, seed: int) -> None:
        self._end, self._bytes, self._timing = end, 4 * (1 + units), timing
        self._losses, self._delays = (np.random.default_rng((timing.seed, seed, use)) for use in (0, 1))
        self._came: list[tuple[float, int, Whole]] = []
        self._closed = False
        self._changed = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def send(self, head: int, states: Whole, lossy: bool) -> None:
        """Write a frame, or lose it.

        Raises:
            Closed: the other end is gone.
        """
        if lossy and self._losses.random() < self._timing.drop:
            return
        words = np.concatenate([[head], states]).astype(np.int64) & 0xFFFFFFFF
        try:
            self._end.sendall(words.astype("<u4").tobytes())
        except OSError:
            raise Closed from None

    def receive(self, head: int) -> Whole | None:
        """The states of the frame with this header; None if it has not come in time. Older frames are forgotten.

        Raises:
            Closed: the other end is gone without sending it.
        """
        deadline = time.monotonic() + self._timing.timeout_s
        with self._changed:
            while True:
                now, soonest = time.monotonic(), deadline
                for place, (ready, found, states) in enumerate(self._came):
                    if found == head:
                        if ready <= now:
                            del self._came[: place + 1]
                            return states
                        soonest = min(soonest, ready)
                if self._closed and soonest == deadline:
                    raise Closed
                if now >= deadline:
                    return None
                self._changed.wait(soonest - now)

    def newest(self, job: int, phase: int) -> tuple[int, Whole] | None:
        """The last frame of a phase that is there, but for its closing one; older ones are forgotten."""
        found, now = None, time.monotonic()
        with self._changed:
            left: list[tuple[float, int, Whole]] = []
            for ready, head, states in self._came:
                of_job, of_phase, frame = told_of(head)
                if frame == CLOSING or ready > now:
                    left.append((ready, head, states))
                elif (of_job, of_phase) == (job & 0x3FFF, phase):
                    found = frame, states
            self._came = left
        return found

    def _read(self) -> None:
        last = 0.0
        while content := self._whole():
            words = np.frombuffer(content, dtype="<u4")
            delay = self._timing.latency_s + self._timing.jitter_s * self._delays.random()
            last = max(last, time.monotonic() + delay)  # a link keeps the order of its frames
            with self._changed:
                self._came.append((last, int(words[0]), words[1:].view("<i4").astype(np.int64)))
                self._changed.notify()
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _whole(self) -> bytes:
        """The next frame, nothing at the end."""
        parts, left = list[bytes](), self._bytes
        while left:
            try:
                part = self._end.recv(left)
            except OSError:
                return b""
            if not part:
                return b""
            parts.append(part)
            left -= len(part)
        return b"".join(parts)


def _wrong(field: str, value: object, rule: str) -> InputError:
    return InputError("timing", field, value, rule=rule, fix="give another value")
