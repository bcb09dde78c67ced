"""Jobs on simulated nodes: one node or a cluster, all on one clock, joined by links that delay, jitter, stall or drop.

A cycle is a cycle of the circuit; a stall is a cycle in which one end of a stream, drawn at random, does nothing.
Synchronous nodes leave the same whole numbers as the oracle whatever the links' latency is.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mep_hw.errors import MachineError
from mep_hw.fpga.node import (
    EMIT_FREE,
    EMIT_MINUS,
    EMIT_PLUS,
    LEARN,
    NUDGE,
    PHASES,
    READ,
    RUN,
    WRITE,
    Node,
)
from mep_hw.fpga.oracle import Job
from mep_hw.fpga.rtl.verilate import build
from mep_hw.fpga.spec import Spec, Values, Whole

ALL = NUDGE | EMIT_FREE | EMIT_PLUS | EMIT_MINUS
LIMIT_S = 600
SILENT, UNEXPECTED, NOT_TAKEN = 1, 2, 3  # what ERROR says


@dataclass(frozen=True)
class Links:
    """How beats travel, and which frame is lost.

    Args:
        latency: cycles from the end that sends to the end that takes, at least 1.
        jitter: further cycles of a beat, at most, drawn at random; beats stay in their order.
        stalls: share of cycles in which an end of a stream pauses, in 1/256; of host streams too.
        drop: (i, first, count): upward frames that the link between nodes i and i + 1 loses; all phases count on.
        timeout: cycles that a node waits for a frame; None: what its configuration says.
        limit: cycles after which the simulation gives up.
    """

    latency: int = 1
    jitter: int = 0
    stalls: int = 0
    seed: int = 1
    drop: tuple[int, int, int] | None = None
    timeout: int | None = None
    limit: int = 100_000_000


@dataclass(frozen=True)
class Order:
    """A job of one node: operation, flags of RUN, and the words of its host."""

    operation: int
    flags: int = 0
    words: Whole | None = None


@dataclass(frozen=True)
class Done:
    """What a node's registers say after a job, and the words that it sent its host."""

    status: int
    error: int
    cycles: int
    static: int
    settle: int
    busy: int
    words: Whole

    @property
    def failure(self) -> tuple[int, str, str, int] | None:
        """(what, link, phase, frame) where the job ended in an error."""
        if not self.status & 4:
            return None
        link = "above" if self.error >> 18 & 1 else "below"
        return self.error >> 19, link, PHASES[min(self.error >> 16 & 3, 2)], self.error & 0xFFFF


def simulate(
    program: Path, nodes: int, jobs: Sequence[Sequence[Order]], links: Links | None = None
) -> list[list[Done]]:
    """Run `jobs`, each an order for every node, one job after the other.

    Raises:
        MachineError: the simulation ends otherwise: a broken stream, or more cycles than `links.limit`.
    """
    links = links or Links()
    words: list[int] = []
    for job in jobs:
        for order in job:
            given = np.zeros(0, np.int64) if order.words is None else order.words.reshape(-1)
            words += [order.operation | order.flags << 8, given.size, *given.tolist()]
    settings = {name: getattr(links, name) for name in ("latency", "jitter", "stalls", "seed", "limit")}
    if links.drop is not None:
        settings |= dict(zip(("drop_link", "drop_frame", "drop_count"), links.drop, strict=True))
    if links.timeout is not None:
        settings["timeout"] = links.timeout
    given = (np.array(words, dtype=np.int64) & 0xFFFFFFFF).astype("<u4").tobytes()
    command = [str(program), *(f"{name}={value}" for name, value in settings.items())]
    try:
        ended = subprocess.run(command, input=given, capture_output=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        raise MachineError(
            "fpga", "simulation", rule=f"took longer than {LIMIT_S} s", fix="run fewer samples or a smaller model"
        ) from None
    if ended.returncode:
        why = ended.stderr.decode(errors="replace").strip() or f"exit code {ended.returncode}"
        raise MachineError("fpga", "simulation", rule=f"failed: {why}", fix="report this")
    return _parsed(np.frombuffer(ended.stdout, dtype="<i4").astype(np.int64), nodes, len(jobs))


def execute(
    spec: Spec, values: Values, x: Whole, target: Whole, learning: bool = False, *, links: Links | None = None
) -> tuple[Job, Values]:
    """What `oracle.execute` says, of the circuit."""
    job, after, _ = measured(spec, values, x, target, learning, links=links)
    return job, after


def measured(
    spec: Spec,
    values: Values,
    x: Whole,
    target: Whole,
    learning: bool = False,
    *,
    links: Links | None = None,
    program: Path | None = None,
) -> tuple[Job, Values, list[list[Done]]]:
    """`execute`, and what every node (second index) says of every sample (first).

    Args:
        program: as `build` makes it; None: build it.

    Raises:
        MachineError: a tool is missing or fails, or a node's job ends in an error.
    """
    nodes = [Node(spec, index) for index in range(len(spec.nodes))]
    jobs = [[Order(WRITE, words=_joined(node.held(values))) for node in nodes]]
    flags = ALL | LEARN * learning
    for row in range(len(x)):
        jobs.append([Order(RUN, flags, host_words(node, x[row], target[row])) for node in nodes])
    jobs.append([Order(READ) for _ in nodes])
    done = simulate(program or build(spec), len(nodes), jobs, links)
    for sample in done:
        for index, one in enumerate(sample):
            if one.failure is not None:
                raise MachineError("fpga", f"node {index}", one.failure, rule="ended in an error", fix="see ERROR")
    runs = done[1:-1]
    states = [np.concatenate([_by_layer(nodes[n], [run[n].words for run in runs]) for n in range(len(nodes))], axis=2)]
    return _job(spec, states[0]), _values(spec, nodes, [one.words for one in done[-1]]), runs


def host_words(node: Node, x: Whole, target: Whole) -> Whole:
    """What a RUN job with NUDGE takes of the node's host, for one sample."""
    return _joined([*([x] if node.takes_input else []), *([target] if node.has_readout else [])])


def _by_layer(node: Node, runs: list[Whole]) -> Whole:
    """(phases, rows, own units)."""
    return np.stack(runs).reshape(len(runs), len(PHASES), -1).transpose(1, 0, 2)


def _job(spec: Spec, states: Whole) -> Job:
    ends = np.cumsum([layer.units for layer in spec.layers[1:-1]])
    return Job(*(tuple(np.split(phase, ends, axis=1)) for phase in states))


def _values(spec: Spec, nodes: Sequence[Node], words: Sequence[Whole]) -> Values:
    """Of what all nodes hold.

    Raises:
        MachineError: the two ends of a cut coupling differ.
    """
    weights: dict[int, Whole] = {}
    biases: dict[int, Whole] = {}
    for node, held in zip(nodes, words, strict=True):
        at = 0
        for c in node.couplings:
            shape = spec.layers[c].units, spec.layers[c - 1].units
            part = held[at : at + shape[0] * shape[1]].reshape(shape)
            at += part.size
            if c in weights and not (weights[c] == part).all():
                raise MachineError("fpga", f"coupling {c}", rule="differs between its ends", fix="report this")
            weights[c] = part
        for n in node.layers:  # noqa: E741  # the letter of the formulas
            biases[n] = held[at : at + spec.layers[n].units]
            at += biases[n].size
    layers = range(1, spec.depth + 1)
    return Values(tuple(weights[n] for n in layers), tuple(biases[n] for n in layers))


def _parsed(words: Whole, nodes: int, jobs: int) -> list[list[Done]]:
    at, found = 0, list[list[Done]]()
    for _ in range(jobs):
        found.append([])
        for _ in range(nodes):
            status, error, cycles, static, settle, busy, count = words[at : at + 7].tolist()
            at += 7 + count
            found[-1].append(Done(status, error, cycles, static, settle, busy, words[at - count : at]))
    return found


def _joined(parts: Sequence[Whole]) -> Whole:
    return np.concatenate([np.zeros(0, np.int64), *(part.reshape(-1) for part in parts)])
