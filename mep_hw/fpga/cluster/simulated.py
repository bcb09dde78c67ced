"""A cluster in simulated time: one queue of events, whole cycles, the same result for the same seed.

A step takes what `partition.cycles_per_step` says, a stall now and then more. A frame takes a cycle a word to leave,
`latency` cycles and up to `jitter` more to arrive; a link keeps the order of its frames. While a frame leaves, an
asynchronous node's next one is left out, a synchronous one waits. A lost frame is gone, but for a closing frame, which
is sent again every 2 (latency + jitter) cycles. The coordinator hears and is heard after `latency`.

Good for results and for steps; its cycles are a model, in which loading x, learning and reading take none.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from mep_hw.errors import MachineError
from mep_hw.fpga.cluster import certificate, protocol
from mep_hw.fpga.cluster.checksum import gathered
from mep_hw.fpga.cluster.member import Arithmetic, Member, parts
from mep_hw.fpga.cluster.partition import cycles_per_step
from mep_hw.fpga.cluster.protocol import Ends, Look, News, Receive, Send, Tell, Work
from mep_hw.fpga.cluster.timing import Phase, Timing, Trace
from mep_hw.fpga.oracle import Execute, Job
from mep_hw.fpga.spec import Spec, Values, Whole

Mode = Literal["synchronous", "asynchronous"]


def executing(mode: Mode, timing: Timing | None = None, **options: Any) -> Execute:
    """`run` in the form of every other executable; options are those of `run`."""

    def execute(
        spec: Spec, values: Values, x: Whole, target: Whole, learning: bool = False
    ) -> tuple[Job, Values]:  # fmt: skip
        job, held, _ = run(spec, values, x, target, learning, mode=mode, timing=timing, **options)
        return job, gathered(spec, held)

    return execute


def run(
    spec: Spec,
    values: Values,
    x: Whole,
    target: Whole,
    learning: bool = False,
    *,
    mode: Mode = "synchronous",
    timing: Timing | None = None,
    force: bool = False,
    arithmetic: Arithmetic | None = None,
) -> tuple[Job, list[list[Whole]], Trace]:
    """One job per sample (row) on the nodes of `spec`; states, what each node then holds, and what it took.

    Args:
        learning: update after every sample. An asynchronous run is certified for the weights that it begins with.
        force: run asynchronously without a certificate, with a Notice.

    Raises:
        CapabilityError: asynchronous, without certificate and without `force`.
        MachineError: a lost frame stopped a synchronous run; names the first node that waits.
    """
    if mode == "asynchronous":
        certificate.require(spec, values, force=force)
    members, trace, timing = parts(spec, values, arithmetic), Trace(), timing or Timing()
    random = np.random.default_rng(timing.seed)
    job = protocol.synchronous if mode == "synchronous" else protocol.asynchronous
    rows: list[list[Ends]] = []
    for row in range(len(x)):
        for member in members:
            member.begin(x[row : row + 1], target[row : row + 1])
        jobs = [job(member, row, learning) for member in members]
        rows.append(_Simulation(members, jobs, mode, timing, random, trace).run())
    return protocol.collected(rows), [member.held() for member in members], trace


class _Simulation:
    """One job."""

    def __init__(
        self,
        members: Sequence[Member],
        jobs: Sequence[protocol.Job],
        mode: Mode,
        timing: Timing,
        random: np.random.Generator,
        trace: Trace,
    ) -> None:
        self._members, self._mode, self._timing, self._random, self._trace = members, mode, timing, random, trace
        self._jobs, count = jobs, len(members)
        self._takes = [cycles_per_step(member.spec, index) for index, member in enumerate(members)]
        self._now, self._order, self._events = 0, 0, list[tuple[int, int, Callable[[], None]]]()
        links = [(index, side) for index, member in enumerate(members) for side in member.sides]
        self._inbox: dict[tuple[int, int], dict[int, Whole]] = {link: {} for link in links}
        self._free, self._last = dict.fromkeys(links, 0), dict.fromkeys(links, 0)  # when a link is free, and last used
        self._waits: dict[int, Receive] = {}
        self._results: dict[int, Ends] = {}
        self._told: list[Tell | None] = [None] * count
        self._phase = 0  # the coordinator's
        self._stopped = [0] * count  # phases that a node was told to end
        spec = members[0].spec
        self._phases = tuple(Phase([steps] * count) for _, _, steps in protocol.phases(spec))

    def run(self) -> list[Ends]:
        for index in range(len(self._members)):
            self._at(0, lambda index=index: self._go(index, None))
        while self._events:
            self._now, _, event = heapq.heappop(self._events)
            event()
        if self._waits:
            index, request = min(self._waits.items(), key=lambda item: protocol.told_of(item[1].head))
            raise MachineError(
                "cluster", rule=f"{protocol.missing(index, request)}, and nothing is under way", fix="look at that link"
            )
        ends = [phase.cycles for phase in self._phases]
        for phase, before in zip(self._phases, (0, *ends), strict=False):
            phase.cycles -= before
        self._trace.phases.append((self._phases[0], self._phases[1], self._phases[2]))
        return [self._results[index] for index in range(len(self._members))]

    def _at(self, when: int, event: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._events, (when, self._order, event))

    def _go(self, index: int, answer: Any) -> None:
        """A node goes on until it has to wait."""
        while True:
            try:
                request = self._jobs[index].send(answer)
            except StopIteration as end:
                self._results[index] = end.value
                return
            answer = None
            if isinstance(request, Work):
                self._work(index, request.phase)
                return
            if isinstance(request, Send):
                self._send(index, request)
            elif isinstance(request, Receive):
                if request.head not in self._inbox[index, request.side]:
                    self._waits[index] = request
                    return
                answer = self._taken(index, request)
            elif isinstance(request, Look):
                answer = self._news(index, request)
            else:
                self._at(self._now + self._timing.latency, lambda tell=request: self._coordinate(index, tell))

    def _work(self, index: int, phase: int) -> None:
        stalls = self._random.random() < self._timing.stall
        until = self._now + self._takes[index] + stalls * self._timing.stall_cycles
        self._phases[phase].cycles = max(self._phases[phase].cycles, until)
        self._at(until, lambda: self._go(index, None))

    def _send(self, index: int, frame: Send) -> None:
        link, receiver, timing = (index, frame.side), (index + frame.side, -frame.side), self._timing
        number = protocol.told_of(frame.head)[2]
        if self._mode == "asynchronous" and number != protocol.CLOSING and self._free[link] > self._now:
            self._trace.left_out += 1
            return
        self._trace.sent += 1
        leaves = self._free[link] = max(self._now, self._free[link]) + 1 + len(frame.states)
        while self._random.random() < timing.drop:
            self._trace.lost += 1
            if not frame.sure:
                return
            leaves += 2 * (timing.latency + timing.jitter) + 1
        comes = leaves + timing.latency + int(self._random.integers(timing.jitter + 1))
        comes = self._last[link] = max(comes, self._last[link])
        self._at(comes, lambda: self._arrive(receiver, frame))

    def _arrive(self, receiver: tuple[int, int], frame: Send) -> None:
        box, (index, side) = self._inbox[receiver], receiver
        if self._mode == "asynchronous":  # the newest frame takes the place of an older one
            for head in [head for head in box if protocol.told_of(head)[2] != protocol.CLOSING]:
                del box[head]
        box[frame.head] = frame.states
        self._trace.most_waiting = max(self._trace.most_waiting, len(box))
        waits = self._waits.get(index)
        if waits is not None and waits == Receive(side, frame.head):
            del self._waits[index]
            self._go(index, self._taken(index, waits))

    def _taken(self, index: int, request: Receive) -> Whole:
        _, phase, _ = protocol.told_of(request.head)
        done = self._phases[phase]
        done.cycles = max(done.cycles, self._now)
        return self._inbox[index, request.side].pop(request.head)

    def _news(self, index: int, look: Look) -> News:
        if self._stopped[index] > look.phase:
            return News({}, True)
        frames: dict[int, tuple[int, Whole]] = {}
        for side in self._members[index].sides:
            for head, states in self._inbox[index, side].items():
                _, phase, number = protocol.told_of(head)
                if phase == look.phase and number != protocol.CLOSING:
                    frames[side] = number, states
        return News(frames, False)

    def _coordinate(self, index: int, tell: Tell) -> None:
        if tell.phase != self._phase:
            return
        self._told[index] = tell
        still = protocol.settled(self._told)
        if still or protocol.exhausted(self._told, self._timing.limit):
            ended = self._phases[self._phase]
            ended.still, ended.steps = still, [word.number for word in self._told if word is not None]
            self._phase += 1
            self._told = [None] * len(self._told)
            for node in range(len(self._told)):
                self._at(self._now + self._timing.latency, lambda node=node: self._stop(node))

    def _stop(self, index: int) -> None:
        self._stopped[index] += 1
