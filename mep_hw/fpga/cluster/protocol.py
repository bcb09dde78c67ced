"""What a node does with its links in one job, without saying how time passes: generators of requests.

Who runs such a generator (`simulated`: a queue of events; `cosim`: a process with sockets) answers its requests and
decides what they take. The synchronous job is that of `mep_hw.fpga.node`: step n waits for frame n, so that nothing
depends on when frames come. In the asynchronous one a node steps with the newest frames it has:

* After each step it sends its states as the frame with the step's number, and tells the coordinator whether the step
  changed anything (`Tell`). Frames may be lost: the next one replaces them.
* The coordinator ends a phase (`settled`) when the last word from every node is that its step changed nothing, and the
  frame that each of its neighbours had stepped with was sent neither before that node's last change nor after its last
  word. Then no frame under way can move anything: the first node to move would need one that differs from what it had
  stepped with, so a neighbour that moved earlier. Else it ends when every node has made `limit` steps: not the same
  number, which would freeze a fast node early.
* Then neighbours exchange their states in a closing frame, which is repeated until it is there. So both ends of a cut
  learn from the same states, whatever was lost before, and a phase begins with what the neighbour really has.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from mep_hw.fpga import oracle
from mep_hw.fpga.cluster.member import Member
from mep_hw.fpga.node import PHASES, header
from mep_hw.fpga.oracle import States
from mep_hw.fpga.spec import Spec, Whole

CLOSING = 0xFFFF  # the number of an asynchronous phase's last frame
LAST = CLOSING - 1  # step of an asynchronous phase; a node that has made so many rests, for more cannot be numbered
FREE, PLUS, MINUS = range(3)


@dataclass(frozen=True)
class Send:
    """A frame to a side. `sure`: sent until it is there."""

    side: int
    head: int
    states: Whole
    sure: bool = False


@dataclass(frozen=True)
class Receive:
    """Wait for the frame with this header from a side; answered by its states."""

    side: int
    head: int


@dataclass(frozen=True)
class Work:
    """The time of a step passes."""

    phase: int


@dataclass(frozen=True)
class Look:
    """Answered by `News`: the newest frame of this job's phase from each side, and whether to stop."""

    job: int
    phase: int


@dataclass(frozen=True)
class News:
    frames: Mapping[int, tuple[int, Whole]]
    stop: bool


@dataclass(frozen=True)
class Tell:
    """A node's word to the coordinator after a step.

    Args:
        number: of steps in this phase.
        changed: the last step that changed a state, 0 for none.
        heard: by side, the number of the frame that the step was made with.
    """

    phase: int
    number: int
    changed: int
    heard: dict[int, int]

    @property
    def still(self) -> bool:
        return self.changed < self.number


Request: TypeAlias = Send | Receive | Work | Look | Tell
Ends: TypeAlias = tuple[States, States, States]  # a node's own layers at the ends of the phases, (1, units) each
Job: TypeAlias = Generator[Request, Any, Ends]


def synchronous(member: Member, number: int, learning: bool) -> Job:
    """Job `number` of a node that has begun one."""
    ends: list[States] = []
    for phase, beta, steps in phases(member.spec):
        _start(member, phase, ends)
        for frame in range(steps + 1):
            yield from _exchange(member, header(number, phase, frame), sure=False)
            if frame < steps:
                yield Work(phase)
                member.step(beta)
        ends.append(member.states)
    return _ended(member, ends, learning)


def asynchronous(member: Member, number: int, learning: bool) -> Job:
    """The same, with the newest frames."""
    ends: list[States] = []
    for phase, beta, _ in phases(member.spec):
        _start(member, phase, ends)
        made, changed, heard = 0, 0, dict.fromkeys(member.sides, 0)
        while True:
            news: News = yield Look(number, phase)
            if news.stop:
                break
            yield Work(phase)
            if made == LAST:
                continue
            for side, (frame, states) in news.frames.items():
                heard[side] = frame
                member.hear(side, states)
            made += 1
            changed = made if member.step(beta) else changed
            for side in member.sides:
                yield Send(side, header(number, phase, made), member.edge(side))
            yield Tell(phase, made, changed, dict(heard))
        yield from _exchange(member, header(number, phase, CLOSING), sure=True)
        ends.append(member.states)
    return _ended(member, ends, learning)


def settled(told: Sequence[Tell | None]) -> bool:
    """Whether no node will ever move again, by the last word of each in this phase."""
    words = [word for word in told if word is not None and word.still]
    if len(words) < len(told):
        return False
    return all(
        words[index + side].changed <= frame <= words[index + side].number
        for index, word in enumerate(words)
        for side, frame in word.heard.items()
    )


def exhausted(told: Sequence[Tell | None], limit: int) -> bool:
    """Whether every node has made `limit` steps."""
    return all(word is not None and word.number >= limit for word in told)


def told_of(head: int) -> tuple[int, int, int]:
    """Job (its lower bits), phase and frame of a header."""
    return head >> 18, head >> 16 & 3, head & 0xFFFF


def missing(node: int, request: Receive) -> str:
    """What a node waits for, for errors."""
    _, phase, frame = told_of(request.head)
    name = "closing frame" if frame == CLOSING else f"frame {frame}"
    return f"node {node}: no {name} of phase {PHASES[phase]} from node {node + request.side}"


def collected(rows: Sequence[Sequence[Ends]]) -> oracle.Job:
    """What the whole model's run leaves, from the ends of every row and node."""
    whole = [[tuple(s for ends in row for s in ends[phase]) for row in rows] for phase in (FREE, PLUS, MINUS)]
    return oracle.Job(*(tuple(map(np.concatenate, zip(*phase, strict=True))) for phase in whole))


def phases(spec: Spec) -> tuple[tuple[int, int, int], ...]:
    """Phase, strength, steps."""
    return (
        (FREE, 0, spec.free_steps), (PLUS, spec.beta, spec.nudged_steps), (MINUS, -spec.beta, spec.nudged_steps)
    )  # fmt: skip


def _start(member: Member, phase: int, ends: Sequence[States]) -> None:
    if phase != FREE:
        member.states = ends[FREE]


def _ended(member: Member, ends: Sequence[States], learning: bool) -> Ends:
    if learning:
        member.learn(ends[PLUS], ends[MINUS])
    return member.own_of(ends[FREE]), member.own_of(ends[PLUS]), member.own_of(ends[MINUS])


def _exchange(member: Member, head: int, sure: bool) -> Generator[Request, Any, None]:
    for side in member.sides:
        yield Send(side, head, member.edge(side), sure)
    for side in member.sides:
        member.hear(side, (yield Receive(side, head)))
