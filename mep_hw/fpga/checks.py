"""Which checks an exported folder gets, in order: of its numbers, its files, and every executable made from it.

The executables are compiled from the specification as the export did it; that the folder still holds those files is a
check of its own, and the folder's test benches are run as a user would run them, with `make`.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from mep_hw.fpga import assemble, folder, native, tools
from mep_hw.fpga.assemble import Kind
from mep_hw.fpga.cluster.cosim.run import executing
from mep_hw.fpga.hls import pragmas, simulate
from mep_hw.fpga.hls.headers import headers
from mep_hw.fpga.node import EMIT_FREE, EMIT_MINUS, EMIT_PLUS, LEARN, NUDGE, Node
from mep_hw.fpga.oracle import Job
from mep_hw.fpga.rtl import cycles, lockstep
from mep_hw.fpga.rtl.gates import gates
from mep_hw.fpga.rtl.lockstep import Links
from mep_hw.fpga.rtl.verilate import build
from mep_hw.fpga.spec import Spec, Values, Whole
from mep_hw.fpga.synthesis import Family, routed, synthesise
from mep_hw.fpga.verify import Check, Samples, Status, attempted, compared, proved, samples

FAMILIES: tuple[Family, ...] = ("xcup", "xc7", "ecp5")
STATES = 10_000  # that an executable is compared in, at least
LATENCY = 100  # cycles of the links of a simulated cluster
STALLS = 64  # of 256 cycles in which an end of a stream pauses
MAKE_S = 900.0
BENCHES = {"hls": ".", "rtl": "tb"}  # where a project's Makefile is
PROGRAMS = {"hls": ("g++",), "rtl": ("verilator", "g++")}  # that it calls
TOP = "mep_node"


def verify(path: Path, *, synthesis: bool = False) -> Iterator[Check]:
    """All checks of an export, one after the other.

    Raises:
        InputError: the folder is no export, or its specification or values are damaged.
    """
    spec, values = folder.read(path)
    kind = assemble.kind_of(path)
    yield proved(spec, values)
    yield Check("files are as exported", *_unchanged(path, spec, values, kind))
    wanted = samples(spec, values, states=STATES)
    yield compared("native C++", native.execute, spec, values, wanted)
    yield from _of_hls(path, spec, values, wanted) if kind == "hls" else _of_rtl(spec, values, wanted)
    if assemble.has_benches(spec, kind):
        for index in range(len(spec.nodes)):
            yield attempted(f"test bench of node{index}", partial(_bench, path / f"node{index}", kind))
    if len(spec.nodes) > 1:
        yield compared("a process for each node", executing("synchronous"), spec, values, wanted)
    if kind == "rtl" and synthesis:
        yield compared("netlist of generic gates by Verilator", _gate_level, spec, values, wanted)
        for index in range(len(spec.nodes)):
            for family in FAMILIES:
                yield attempted(
                    f"synthesis of node{index}, {family}", partial(_synthesis, path / f"node{index}", family)
                )


def _of_hls(path: Path, spec: Spec, values: Values, wanted: Samples) -> Iterator[Check]:
    yield compared("ap_fixed C++", simulate.execute, spec, values, wanted)
    sources = sorted(path.glob("node*/src/*.h")) + sorted(path.glob("node*/src/*.cpp"))
    texts = {str(source.relative_to(path)): source.read_text(encoding="utf-8", errors="replace") for source in sources}
    found = [str(finding) for name, text in texts.items() for finding in pragmas.check(text, name)]
    count = sum(pragmas.count(text) for text in texts.values())
    yield Check("HLS pragmas", "failed" if found else "passed", "; ".join(found) or f"{count} in {len(texts)} files")
    yield Check("Vitis HLS", "not run", "needs AMD's Vitis; node*/run_hls.tcl and hls_config.cfg are for it")


def _of_rtl(spec: Spec, values: Values, wanted: Samples) -> Iterator[Check]:
    yield compared("SystemVerilog by Verilator", lockstep.execute, spec, values, wanted)
    links = Links(latency=LATENCY if len(spec.nodes) > 1 else 1, jitter=7, stalls=STALLS)
    name = f"Verilator, streams stalled in {STALLS} of 256 cycles"
    yield compared(name, partial(lockstep.execute, links=links), spec, values, wanted)
    if len(spec.nodes) == 1:
        yield attempted("cycles are those of the formula", partial(_counted, spec, values, wanted))
    yield Check("Vivado", "not run", "needs AMD's Vivado; node*/synth/vivado.tcl is for it")


def _unchanged(path: Path, spec: Spec, values: Values, kind: Kind) -> tuple[Status, str]:
    """Are all files there as an export would write them?"""
    files = assemble.files_of(spec, values, kind, assemble.notes(path))
    wrong = list[str]()
    for name, content in files.items():
        expected = content.encode() if isinstance(content, str) else content
        place = path / name
        if not place.is_file():
            wrong.append(f"{name} is missing")
        elif place.read_bytes() != expected:
            wrong.append(f"{name} differs")
    sources = {str(place.relative_to(path)) for part in ("src", "rtl") for place in path.glob(f"node*/{part}/*")}
    wrong += [f"{name} is not of the export" for name in sorted(sources - set(files))]
    return ("failed", "; ".join(wrong)) if wrong else ("passed", f"{len(files)} files")


def _bench(project: Path, kind: Kind) -> tuple[Status, str]:
    """`make` in a copy of the project, which stays as it was."""
    make = [tools.require("make")] + ([f"AP_TYPES={headers().folder}"] if kind == "hls" else [])
    for program in PROGRAMS[kind]:
        tools.require(program)
    with tempfile.TemporaryDirectory() as work:
        copy = Path(work) / project.name
        shutil.copytree(project, copy)
        told = tools.call([*make, "-C", copy / BENCHES[kind]], timeout_s=MAKE_S).strip().splitlines()
    return "passed", told[-2] if told[-1].startswith("make") else told[-1]


def _counted(spec: Spec, values: Values, wanted: Samples) -> tuple[Status, str]:
    one = slice(0, 1)
    _, _, runs = lockstep.measured(spec, values, wanted.x[one], wanted.target[one], wanted.learning)
    flags = NUDGE | LEARN * wanted.learning | EMIT_FREE | EMIT_PLUS | EMIT_MINUS
    expected, found = cycles.run(Node(spec, 0), flags).total, runs[0][0].cycles
    assert expected is not None  # a node without links
    detail = f"{found} a sample, {found - expected} off"
    return ("passed" if found == expected else "failed"), detail


def _gate_level(spec: Spec, values: Values, x: Whole, target: Whole, learning: bool) -> tuple[Job, Values]:
    job, after, _ = lockstep.measured(spec, values, x, target, learning, program=build(spec, gates))
    return job, after


def _synthesis(project: Path, family: Family) -> tuple[Status, str]:
    with tempfile.TemporaryDirectory() as work:
        place = Path(work)
        for source in (project / "rtl").iterdir():
            shutil.copy(source, place)
        found = synthesise(sorted(place.glob("*.sv")), TOP, family, place)
        if family == "ecp5" and tools.found("nextpnr-ecp5"):
            found = routed(found, place)
    counts = ", ".join(f"{getattr(found, name)} {name}" for name in ("lut", "ff", "dsp", "bram18", "bram36", "lutram"))
    clock = "" if found.clock_mhz is None else f"; {found.clock_mhz:.1f} MHz on {found.part} by {found.router}"
    return "passed", f"{counts} by {found.tool}{clock}"
