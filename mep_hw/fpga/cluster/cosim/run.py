"""The coordinator of a co-simulation: starts the processes, gives jobs, stops asynchronous phases, ends them all."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from multiprocessing import connection
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, NoReturn

from mep_hw.errors import MachineError
from mep_hw.fpga.cluster import certificate, protocol
from mep_hw.fpga.cluster.checksum import gathered
from mep_hw.fpga.cluster.cosim.link import Timing
from mep_hw.fpga.cluster.member import Arithmetic
from mep_hw.fpga.cluster.protocol import Tell
from mep_hw.fpga.cluster.simulated import Mode
from mep_hw.fpga.node import Node
from mep_hw.fpga.oracle import Execute, Job
from mep_hw.fpga.spec import Spec, Values, Whole

START_S = 120.0  # for the processes to begin
GRACE_S = 3.0  # for them to end by themselves
SLACK_S = 2.0  # after the time-out of a frame, for word of it to come
GATHER_S = 0.5  # after the first bad news, for that of other nodes


def executing(mode: Mode, timing: Timing | None = None, **options: Any) -> Execute:
    """A cluster for each call, in the form of every other executable; options are those of `Cluster`."""

    def execute(
        spec: Spec, values: Values, x: Whole, target: Whole, learning: bool = False
    ) -> tuple[Job, Values]:  # fmt: skip
        with Cluster(spec, values, mode, timing, **options) as cluster:
            return cluster.run(x, target, learning), gathered(spec, cluster.held())

    return execute


class Cluster:
    """One process for each node of `spec`, from `with` until its end.

    Args:
        force: run asynchronously without a certificate, with a Notice.
        arithmetic: what nodes compute with: functions of modules, which their processes import.

    Attributes:
        pids: of the nodes' processes.
        unsettled: phases of asynchronous jobs that ended at `Timing.limit`, not at rest.

    Raises:
        CapabilityError: asynchronous, without certificate and without `force`.
        MachineError: a process does not start; in `run` and `held`, it ended or a frame did not come in time.
    """

    def __init__(
        self,
        spec: Spec,
        values: Values,
        mode: Mode = "synchronous",
        timing: Timing | None = None,
        *,
        force: bool = False,
        arithmetic: Arithmetic | None = None,
    ) -> None:
        if mode == "asynchronous":
            certificate.require(spec, values, force=force)
        self._spec, self._values, self._mode, self._timing = spec, values, mode, timing or Timing()
        self._arithmetic, self._jobs, self.unsettled = arithmetic, 0, 0
        self.pids: tuple[int, ...] = ()

    def __enter__(self) -> Cluster:
        count = len(self._spec.nodes)
        pairs = [socket.socketpair() for _ in range(count)]
        links = [socket.socketpair() for _ in range(count - 1)]
        controls = [theirs.fileno() for _, theirs in pairs]
        ends = [(low.fileno(), high.fileno()) for low, high in links]
        self._controls = [Connection(ours.detach()) for ours, _ in pairs]
        threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
        given = json.dumps({"controls": controls, "links": ends})
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mep_hw.fpga.cluster.cosim.worker", given],
                pass_fds=[*controls, *(end for pair in ends for end in pair)],
                stdin=subprocess.DEVNULL, start_new_session=True, env=os.environ | threads,
            )  # fmt: skip
        finally:
            for end in (*(theirs for _, theirs in pairs), *(end for pair in links for end in pair)):
                end.close()
        try:
            ready = self._answers("ready", START_S)
            self.pids = tuple(pid for (pid,) in ready)
            text = self._spec.to_json()
            for index, control in enumerate(self._controls):
                held = Node(self._spec, index).held(self._values)
                control.send(("begin", text, index, held, self._mode, self._timing, self._arithmetic))
        except BaseException:
            self._end(graceful=False)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(graceful=error is None)

    def run(self, x: Whole, target: Whole, learning: bool = False) -> Job:
        """One job per sample (row) after the other."""
        rows: list[list[protocol.Ends]] = []
        for row in range(len(x)):
            for index, control in enumerate(self._controls):
                node, one = Node(self._spec, index), slice(row, row + 1)
                inputs = x[one] if node.takes_input else x[one, :0]
                wanted = target[one] if node.has_readout else target[one, :0]
                self._send(control, "job", self._jobs, inputs, wanted, learning)
            self._jobs += 1
            rows.append([ends for (ends,) in self._answers("ends", self._timing.timeout_s + SLACK_S)])
        return protocol.collected(rows)

    def held(self) -> list[list[Whole]]:
        """What each node holds, in the order of `Node.held`."""
        for control in self._controls:
            self._send(control, "read")
        return [held for (held,) in self._answers("held", self._timing.timeout_s + SLACK_S)]

    def _send(self, control: Connection, *message: Any) -> None:
        with contextlib.suppress(ConnectionError):  # that the node is gone, its end of the connection will tell
            control.send(message)

    def _answers(self, kind: str, patience_s: float) -> list[Any]:
        """One message of this kind from each node; those on the way there are taken care of."""
        count = len(self._controls)
        found, phase = dict[int, Any](), 0
        told: list[Tell | None] = [None] * count
        heard = [time.monotonic()] * count
        while len(found) < count:
            messages = self._messages(0.1)
            if bad := {index: message for index, message in messages if _is_bad(message)}:
                self._fail(bad)
            for index, message in messages:
                heard[index] = time.monotonic()
                if message[0] == kind:
                    found[index] = message[1:]
                elif message[0] == "tell":
                    phase, told = self._coordinated(index, message[1], phase, told)
            for index, last in enumerate(heard):
                if index not in found and time.monotonic() > last + patience_s:
                    rule = f"node {index}: gave no sign for {patience_s:g} s"
                    raise MachineError("cluster", rule=rule, fix="look at its process, or allow more time")
        return [found[index] for index in range(count)]

    def _coordinated(
        self, index: int, tell: Tell, phase: int, told: list[Tell | None]
    ) -> tuple[int, list[Tell | None]]:  # fmt: skip
        """The phase and its last words after a word from a node; ends the phase where that is right."""
        if tell.phase != phase:
            return phase, told
        told = [tell if place == index else word for place, word in enumerate(told)]
        still = protocol.settled(told)
        if not still and not protocol.exhausted(told, self._timing.limit):
            return phase, told
        self.unsettled += not still
        for control in self._controls:
            self._send(control, "stop", phase)
        return phase + 1, [None] * len(told)

    def _messages(self, patience_s: float) -> list[tuple[int, Any]]:
        """What has come, None where a connection has ended."""
        ready = connection.wait(self._controls, patience_s)
        messages = list[tuple[int, Any]]()
        for index, control in enumerate(self._controls):
            if control in ready:
                try:
                    messages.append((index, control.recv()))
                except (EOFError, ConnectionError):
                    messages.append((index, None))
        return messages

    def _fail(self, news: dict[int, Any]) -> NoReturn:
        """Raise what explains most: a process that has ended, else the earliest frame that did not come."""
        deadline = time.monotonic() + GATHER_S
        while time.monotonic() < deadline and len(news) < len(self._controls):
            for index, message in self._messages(0.05):
                if _is_bad(message):
                    news.setdefault(index, message)
        dead = [index for index, message in sorted(news.items()) if message is None]
        if dead:
            raise MachineError(
                "cluster", rule=f"node {dead[0]}: its process has ended", fix="see its messages, and start the run anew"
            )
        _, text = min((protocol.told_of(head), text) for _, head, text in news.values())
        raise MachineError("cluster", rule=text, fix="look at that link and at that node, or allow more time")

    def _end(self, *, graceful: bool) -> None:
        """Leave no process behind: nodes end with their connections, or are killed by the process that forked them."""
        for control in self._controls:
            control.close()
        if not graceful:
            self._process.terminate()
        try:
            self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def _is_bad(message: Any) -> bool:
    return message is None or message[0] == "lost"
