"""The project of one node: what an engineer unpacks, reads, simulates with `make` and synthesises.

Nothing is written here; an export writes the files. The test bench runs the same chain of nodes as `lockstep`, alone,
with the oracle's numbers as vectors; a node with links is checked with its neighbours by `lockstep`, so its project has
no bench of its own.
"""

from __future__ import annotations

import numpy as np

from mep_hw.fpga import oracle
from mep_hw.fpga.library import folder
from mep_hw.fpga.node import EMIT_FREE, EMIT_MINUS, EMIT_PLUS, LEARN, NUDGE, PHASES, Node
from mep_hw.fpga.rtl.config import header, shape
from mep_hw.fpga.rtl.cycles import run, static_words
from mep_hw.fpga.rtl.memories import memories
from mep_hw.fpga.rtl.verilate import nodes_source, sources
from mep_hw.fpga.spec import Format, Spec, Values, Whole

SAMPLES = 8  # of the test bench
PART = "xcku5p-ffvb676-2-e"  # of the synthesis script, unless its first argument names another


def project(node: Node, values: Values) -> dict[str, str | bytes]:
    """Every file of the project, relative path -> content.

    Raises:
        ModelError: values that do not belong to the specification.
    """
    values.check(node.spec)
    library = {f"rtl/{name}": text for name, text in sources().items()}
    names = sorted(library)
    files: dict[str, str | bytes] = {
        **library,
        "rtl/mep_config.svh": header(node),
        **{f"rtl/{name}": text for name, text in memories(node, values).items()},
        "files.f": "+incdir+rtl\n" + "\n".join(names) + "\n",
        "spec.json": node.spec.to_json(),
        "README.md": _readme(node),
        "synth/vivado.tcl": _vivado(names),
        "synth/yosys.ys": _yosys(names),
    }
    if not shape(node).linked:
        files |= _bench(node, values)
    return files


def _bench(node: Node, values: Values) -> dict[str, str | bytes]:
    spec, random = node.spec, np.random.default_rng(0)
    x = _drawn(random, spec, 0)
    target = _drawn(random, spec, spec.depth)
    learning = spec.learning is not None
    job, after = oracle.execute(spec, values, x, target, learning)
    control = 3 | (NUDGE | EMIT_FREE | EMIT_PLUS | EMIT_MINUS | LEARN * learning) << 8
    given, right = list[int](), list[int]()
    counts = run(node, control >> 8)
    for row in range(SAMPLES):
        given += [control, x.shape[1] + target.shape[1], *x[row].tolist(), *target[row].tolist()]
        states = [int(v) for phase in PHASES for s in getattr(job, phase) for v in s[row]]
        right += [2, 0, counts.total or 0, counts.static, counts.settle, counts.busy, len(states), *states]
    held = [int(v) for part in node.held(after) for v in part.reshape(-1)]
    given += [2, 0]
    sim = folder("rtl") / "sim"
    return {
        **{f"tb/{path.name}": path.read_text() for path in sorted(sim.iterdir())},
        "tb/made.cpp": nodes_source(1, ()).replace('folder + "node0"', 'folder + "../rtl"'),
        "tb/given.bin": _words(given),
        "tb/runs.bin": _words(right),
        "tb/held.bin": _words([len(held), *held]),
        "tb/Makefile": MAKEFILE,
    }


def _drawn(random: np.random.Generator, spec: Spec, layer: int) -> Whole:
    form = spec.layers[layer]
    return random.integers(form.low, form.high, (SAMPLES, form.units), endpoint=True, dtype=np.int64)


def _words(values: list[int]) -> bytes:
    return (np.array(values, dtype=np.int64) & 0xFFFFFFFF).astype("<u4").tobytes()


MAKEFILE = """\
# `make` builds the node with Verilator, runs it on given.bin and compares every state, every counter and every weight
# with the oracle's (runs.bin, held.bin). Weights come from the .mem files.
test: simulate
\t./simulate < given.bin > found.bin
\thead -c $$(wc -c < runs.bin) found.bin | cmp - runs.bin
\ttail -c $$(wc -c < held.bin) found.bin | cmp - held.bin
\t@echo "the node equals the oracle"
simulate: $(wildcard ../rtl/*.sv ../rtl/*.svh *.h) main.cpp made.cpp
\tverilator --cc --exe --build -Wall --x-initial unique --prefix Node0 --Mdir made --top-module mep_node -I../rtl \\
\t  -CFLAGS "-std=c++17 -O1 -I.. -include Node0.h" -o ../simulate ../rtl/mep_node.sv made.cpp
clean:
\trm -rf made simulate found.bin
.PHONY: test clean
"""


def _vivado(names: list[str]) -> str:
    return f"""\
# Out-of-context synthesis, placement and routing: vivado -mode batch -source synth/vivado.tcl -tclargs [part] [ns].
# Run in the project's folder. Not run by mep_hw, which has no Vivado.
set part [expr {{$argc > 0 ? [lindex $argv 0] : "{PART}"}}]
set period [expr {{$argc > 1 ? [lindex $argv 1] : 5.0}}]
read_verilog -sv [list {" ".join(names)}]
foreach memory [glob rtl/*.mem] {{ read_mem $memory }}
synth_design -mode out_of_context -top mep_node -part $part -include_dirs rtl
create_clock -name aclk -period $period [get_ports aclk]
opt_design
place_design
route_design
report_utilization -file utilization.rpt
report_timing_summary -file timing.rpt
report_power -file power.rpt
"""


def _yosys(names: list[str]) -> str:
    files = " ".join(name.replace("rtl/", "") for name in names)
    return f"""\
# cd rtl && yosys ../synth/yosys.ys
read_verilog -sv -I. {files}
synth_xilinx -family xcup -flatten -top mep_node
tee -o ../stat.txt stat
"""


def _readme(node: Node) -> str:
    spec, form, counts = node.spec, shape(node), run(node, NUDGE)
    rows = [
        f"| {n} | {one.units} | {_form(one.state)} | {one.low} to {one.high} | {_form(one.bias)} |"
        for n, one in ((n, spec.layers[n]) for n in node.layers)
    ]
    held = [
        f"| {c - 1} to {c} | {spec.layers[c].units} x {spec.layers[c - 1].units} | {_form(spec.weights[c - 1])} |"
        for c in node.couplings
    ]
    bench = (
        "`make -C tb` simulates the node with Verilator and g++ on the oracle's numbers; its exit code says whether\n"
        "every state, counter and weight is equal."
        if not form.linked
        else "The node needs its neighbours: the cluster it belongs to is simulated by `mep-hw fpga verify`."
    )
    total = "depends on the links" if counts.total is None else f"{counts.total} cycles"
    words = static_words(form)
    return "\n".join([
        f"# Node {node.index} of {spec.name}", "",
        f"An equilibrium network's layers {node.first} to {node.last}, P = {form.lanes} lanes, "
        f"{'with' if spec.learning else 'without'} learning on the chip. What it computes is in `spec.json`.", "",
        "## Run it", "", bench,
        "Synthesis out of context: `synth/vivado.tcl`, `synth/yosys.ys`. Top module `mep_node`, sources in",
        "`files.f`.", "",
        "## Formats", "", "| layer | units | states | range | biases |", "|---|---|---|---|---|", *rows, "",
        "| coupling | weights | format |", "|---|---|---|", *held, "",
        "## Interfaces", "",
        "One clock `aclk`, synchronous reset `aresetn`, active low. `s_axil`: AXI4-Lite. `s_host`, `m_host`:",
        "AXI-Stream of 32-bit words, one sign-extended value a beat, TLAST on the last beat of a job's output.",
        "`s_below`, `m_below`, `s_above`, `m_above`: AXI-Stream pairs to the neighbours; tie those of a link that the",
        "node does not have to zero. `stop` and `quiet` are for asynchronous jobs; tie `stop` to zero without them.",
        "",
        f"- below: {'no link, layer 1 takes the input' if form.takes_input else 'a link'}; "
        f"above: {'no link, the read-out is here' if form.has_readout else 'a link'}",
        "- WRITE takes and READ sends the weights row by row, coupling by coupling, then the biases.",
        "- RUN takes the input (if layer 1 is here), then with NUDGE the target (if the read-out is here), and sends",
        "  the states that its flags ask for, after each phase.",
        "- A frame on a link: a header (bits 31..18 number of the RUN job since reset, 17..16 phase, 15..0 frame),",
        "  then the states next to the cut, TLAST on the last.", "",
        "## Registers", "", "```", *_registers(), "```", "",
        "## Cycles", "",
        f"One sample with its three phases: {total}. Static drive: {counts.static}, steps: {counts.settle}, of them "
        f"{counts.busy} with all lanes multiplying ({100 * counts.share(words):.1f} % of both).", "",
    ])  # fmt: skip


def _registers() -> list[str]:
    """The map in the header of mep_axil.sv."""
    text = sources()["mep_axil.sv"].splitlines()
    return [line.removeprefix("//   ") for line in text if line.startswith("//   ")]


def _form(form: Format) -> str:
    return f"{form.bits} bits, {form.fraction} behind the point"
