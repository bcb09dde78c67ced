"""The processes of a co-simulation: one that imports everything once, and forks one for each node.

A node's process gets its control connection and its ends of links, answers the requests of its job (see `protocol`)
with sockets and clocks, and knows only what its node holds. It ends when the control connection does.

    to a node       ("begin", specification, index, held, mode, timing, arithmetic)
                    ("job", number, x, target, learning)   ("stop", phase)   ("read",)
    from a node     ("ready", process id)   ("tell", Tell)   ("alive",)   ("ends", Ends)   ("held", arrays)
                    ("lost", header, text)
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import time
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from mep_hw.fpga.cluster import protocol
from mep_hw.fpga.cluster.cosim.link import Closed, Link, Timing
from mep_hw.fpga.cluster.member import Member
from mep_hw.fpga.cluster.protocol import Look, News, Receive, Send, Work
from mep_hw.fpga.node import Node
from mep_hw.fpga.spec import Spec

SIGN_S = 0.5  # longest that a node works without a word
REST_S = 0.0005  # that a node rests after a step that changed nothing, for processes share processors
TELL_EVERY = 64  # steps, of a node that moves


class _Lost(Exception):
    def __init__(self, head: int, text: str) -> None:
        super().__init__(head, text)
        self.head, self.text = head, text


class _Runner:
    """One node between its control connection and its links, by side."""

    def __init__(self, member: Member, control: Connection, links: dict[int, Link], mode: str, timing: Timing) -> None:
        self._member, self._control, self._links, self._timing = member, control, links, timing
        self._job = protocol.synchronous if mode == "synchronous" else protocol.asynchronous
        self._random = np.random.default_rng((timing.seed, member.node.index))
        self._stopped, self._said = -1, 0.0

    def run(self, number: int, x: Any, target: Any, learning: bool) -> protocol.Ends:
        self._member.begin(x, target)
        self._stopped = -1
        job, answer = self._job(self._member, number, learning), None
        while True:
            try:
                request = job.send(answer)
            except StopIteration as end:
                return end.value
            answer = self._answer(request)

    def _answer(self, request: protocol.Request) -> Any:
        if isinstance(request, Work):
            if self._random.random() < self._timing.stall:
                time.sleep(self._timing.stall_s)
            if time.monotonic() > self._said + SIGN_S:
                self._say("alive")
        elif isinstance(request, Send):
            try:
                self._links[request.side].send(request.head, request.states, lossy=not request.sure)
            except Closed:
                raise _Lost(request.head, self._closed(request.side)) from None
        elif isinstance(request, Receive):
            return self._receive(request)
        elif isinstance(request, Look):
            return self._look(request)
        elif request.still or request.number % TELL_EVERY == 0:
            self._say("tell", request)
            time.sleep(REST_S if request.still else 0)
        return None

    def _receive(self, request: Receive) -> Any:
        try:
            states = self._links[request.side].receive(request.head)
        except Closed:
            raise _Lost(request.head, self._closed(request.side)) from None
        if states is None:
            waited = f"{protocol.missing(self._member.node.index, request)} for {self._timing.timeout_s:g} s"
            raise _Lost(request.head, waited)
        return states

    def _look(self, request: Look) -> News:
        while self._control.poll():
            _, self._stopped = self._control.recv()
        found = {side: link.newest(request.job, request.phase) for side, link in self._links.items()}
        return News({side: frame for side, frame in found.items() if frame is not None}, self._stopped >= request.phase)

    def _say(self, *message: Any) -> None:
        self._said = time.monotonic()
        self._control.send(message)

    def _closed(self, side: int) -> str:
        index = self._member.node.index
        return f"node {index}: the link to node {index + side} is closed"


def node(control: Connection, ends: dict[int, socket.socket]) -> None:
    """Serve until the control connection ends, or a frame does not come."""
    control.send(("ready", os.getpid()))
    _, text, index, held, mode, timing, arithmetic = control.recv()
    member = Member(Node(Spec.model_validate_json(text), index), held, arithmetic)
    layers = member.spec.layers
    links = {
        side: Link(end, layers[member.beside(side)].units, timing, 2 * index + (side > 0)) for side, end in ends.items()
    }
    runner = _Runner(member, control, links, mode, timing)
    while True:
        message = control.recv()
        if message[0] == "job":
            try:
                control.send(("ends", runner.run(*message[1:])))
            except _Lost as lost:
                control.send(("lost", lost.head, lost.text))
                return
        elif message[0] == "read":
            control.send(("held", member.held()))


def main(controls: list[int], links: list[tuple[int, int]]) -> None:
    """Fork the nodes and wait for them; SIGTERM kills them.

    Args:
        controls: file descriptors, one for each node.
        links: of the link between node i and node i + 1, the ends for both.
    """
    everything = {*controls, *(end for pair in links for end in pair)}
    children = list[int]()  # that have not been waited for

    def kill(*_: Any) -> None:
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    signal.signal(signal.SIGTERM, kill)
    for index, control in enumerate(controls):
        ends = ({-1: links[index - 1][1]} if index else {}) | ({1: links[index][0]} if index < len(links) else {})
        child = os.fork()
        if not child:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            for other in everything - {control, *ends.values()}:
                os.close(other)
            try:
                node(Connection(control), {side: socket.socket(fileno=end) for side, end in ends.items()})
            except (EOFError, ConnectionError):  # the coordinator is gone
                pass
            os._exit(0)
        children.append(child)
    for other in everything:
        os.close(other)
    while children:
        os.waitpid(children[-1], 0)
        del children[-1]


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
