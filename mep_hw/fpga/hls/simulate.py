"""C simulation: the generated C++ of all nodes of a model compiled with g++ and run, whole numbers in and out.

A process for each run, so that every run begins as after a reset. All nodes of a model are in that process, a thread
for each, with streams between them for links.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mep_hw.errors import MachineError
from mep_hw.fpga.hls.config import name
from mep_hw.fpga.hls.headers import flags, headers
from mep_hw.fpga.hls.project import sources
from mep_hw.fpga.hls.top import declaration, streams
from mep_hw.fpga.hls.vectors import Words, flat, taken
from mep_hw.fpga.library import folder
from mep_hw.fpga.node import EMIT_FREE, EMIT_MINUS, EMIT_PLUS, LEARN, NUDGE, READ, RUN, WRITE, Node
from mep_hw.fpga.oracle import Job, States
from mep_hw.fpga.spec import Spec, Values, Whole
from mep_hw.fpga.tools import call, require

# Labels name loops in the vendor's reports; default constructors of ap_private.h read bits that they have not set.
WARNINGS = (
    "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-Wno-unused-label", "-Wno-uninitialized",
    "-Wno-maybe-uninitialized",
)  # fmt: skip
COMPILER = ("-std=c++14", "-O1", "-pthread", *WARNINGS)
COMPILE_S, RUN_S = 600.0, 3600.0  # time-outs


def execute(spec: Spec, values: Values, x: Whole, target: Whole, learning: bool = False) -> tuple[Job, Values]:
    """As `oracle.execute`, by the HLS C++. Compiles anew; `Simulation` keeps what is compiled."""
    with tempfile.TemporaryDirectory() as scratch:
        return Simulation(spec, values, Path(scratch)).execute(values, x, target, learning)


class Simulation:
    """The compiled nodes of a specification.

    Args:
        values: what the memories hold at first, read and compared in each run, which then writes its own.
        place: an empty folder for sources and the program; the caller's to remove.
        define: macros for the compiler.

    Raises:
        MachineError: no g++, no ap_* headers, or the compiler failed.
    """

    def __init__(self, spec: Spec, values: Values, place: Path, define: Sequence[str] = ()) -> None:
        values.check(spec)
        self.spec, self.first, self.place = spec, values, place
        self.nodes = [Node(spec, index) for index in range(len(spec.nodes))]
        self.program = place / "cluster"
        compiler, found = require("g++"), headers()
        units = [folder("hls") / "sim" / "cluster.cpp"]
        for node in self.nodes:
            for path, text in sources(node, values).items():
                file = place / name(node) / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(str(text), encoding="utf-8")
            units.append(place / name(node) / "src" / f"{name(node)}.cpp")
        (place / "calls.h").write_text(_calls(self.nodes), encoding="utf-8")
        include = [f"-I{place}", f"-I{folder('hls') / 'include'}", f"-I{folder('hls') / 'tb'}", *flags(found)]
        macros = [f"-D{macro}" for macro in define]
        call([compiler, *COMPILER, *macros, *include, *units, "-o", self.program], timeout_s=COMPILE_S)

    def execute(self, values: Values, x: Whole, target: Whole, learning: bool = False) -> tuple[Job, Values]:
        """As `oracle.execute`, from a reset."""
        run = NUDGE | EMIT_FREE | EMIT_PLUS | EMIT_MINUS | (LEARN if learning else 0)
        files = list[Path]()
        for node in self.nodes:
            jobs = [Words(READ), Words(WRITE, takes=flat(node.held(values)))]
            jobs += [Words(RUN, run, taken(node, x[row], target[row])) for row in range(len(x))]
            files.append(self.place / f"{name(node)}.jobs")
            files[-1].write_text("".join(job.job(self.spec) for job in [*jobs, Words(READ)]), encoding="utf-8")
        answers = _answers(call([self.program, *files], timeout_s=RUN_S))
        each = len(x) + 3
        if len(answers) != each * len(self.nodes):
            raise MachineError(
                "fpga", "C simulation", len(answers), rule="answers came, not one a job", fix="report it"
            )
        phases: tuple[list[Whole], ...] = ([], [], [])
        weights, biases = dict[int, Whole](), list[Whole]()
        for number, node in enumerate(self.nodes):
            first, _, *runs, held = answers[number * each : (number + 1) * each]
            if first.tolist() != flat(node.held(self.first)):
                raise MachineError("fpga", "C simulation", name(node), rule="holds other values", fix="report it")
            _sort(node, runs, phases)
            shapes = [value.shape for value in node.held(values)]
            parts = np.split(held, np.cumsum([np.prod(shape) for shape in shapes])[:-1])
            parts = [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
            for c, part in zip(node.couplings, parts, strict=False):
                if not np.array_equal(weights.setdefault(c, part), part):
                    rule = "both nodes that hold it must have learned the same"
                    raise MachineError("fpga", "C simulation", f"coupling {c}", rule=rule, fix="report it")
            biases += parts[len(node.couplings) :]
        states: list[States] = [tuple(phase) for phase in phases]
        return Job(*states), Values(tuple(weights[c] for c in sorted(weights)), tuple(biases))


def _sort(node: Node, runs: Sequence[Whole], phases: Sequence[list[Whole]]) -> None:
    """The words that RUNs gave to the layers of each phase, (rows, units)."""
    units = [node.spec.layers[n].units for n in node.layers]
    words = np.array(runs, dtype=np.int64).reshape(len(runs), sum(units) * len(phases))
    parts = np.split(words, np.cumsum(units * len(phases))[:-1], axis=1)
    for number, phase in enumerate(phases):
        phase.extend(parts[number * len(units) : (number + 1) * len(units)])


def _answers(text: str) -> list[Whole]:
    """The words that came out of each job, TLAST checked."""
    found = list[Whole]()
    for line in text.splitlines():
        key, *rest = line.split()
        if key == "answer" and rest != ["0"]:
            raise MachineError("fpga", "C simulation", f"status {rest[0]}", rule="must be 0", fix="report it")
        if key == "out":
            words = rest[1:]
            ends = [index for index, word in enumerate(words) if word.endswith(".")]
            if ends != ([len(words) - 1] if words else []):
                raise MachineError("fpga", "C simulation", ends, rule="TLAST must be on the last word", fix="report it")
            found.append(np.array([int(word.rstrip(".")) for word in words], dtype=np.int64))
    return found


def _calls(nodes: Sequence[Node]) -> str:
    """`calls.h`: a function for each node, all of one type."""
    lines = ["#ifndef MEP_CALLS_H", "#define MEP_CALLS_H", "", '#include "jobs.h"', ""]
    every = ["in", "out", "below_in", "below_out", "above_in", "above_out"]
    for node in nodes:
        ports = streams(node)
        params = ", ".join(f"mep::words_t &{port if port in ports else ''}".rstrip() for port in every)
        lines += [
            f"{declaration(node)};",
            f"static int call_{node.index}({params}, const jobs::Job &job) {{",
            f"    return {name(node)}({', '.join(ports)}, job.operation, job.flags, job.free_steps,",
            "                      job.nudged_steps, job.beta);",
            "}",
            "",
        ]
    stream = "mep::words_t &"
    functions = ", ".join(f"call_{node.index}" for node in nodes)
    return "\n".join([
        *lines,
        f"static const int NODES = {len(nodes)};",
        f"static int (*const calls[])({', '.join([stream] * 6)}, const jobs::Job &) = {{{functions}}};",
        "", "#endif", "",
    ])  # fmt: skip
