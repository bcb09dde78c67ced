"""The HLS project of one node: sources, first contents, a test bench with the oracle's answers, and tool scripts."""

from __future__ import annotations

from string import Template

from mep_hw.fpga.hls import vectors
from mep_hw.fpga.hls.config import config, contents, name
from mep_hw.fpga.hls.readme import readme
from mep_hw.fpga.hls.top import header, streams, top
from mep_hw.fpga.library import folder
from mep_hw.fpga.node import Node
from mep_hw.fpga.spec import Values

PART = "xczu7ev-ffvc1156-2-e"  # the ZCU104's; a script's first line, to be changed
CLOCK_NS = 5.0


def project(node: Node, values: Values) -> dict[str, str | bytes]:
    """Relative paths and what belongs there; nothing is written.

    Raises:
        ModelError: values of another shape, or beyond their formats.
    """
    values.check(node.spec)
    x, y = vectors.samples(node.spec)
    words = vectors.bench(node, values, x, y)
    library = folder("hls")
    files: dict[str, str | bytes] = {"README.md": readme(node, words), "spec.json": node.spec.to_json()}
    files |= sources(node, values)
    files |= {f"tb/{path}": (library / "tb" / path).read_text() for path in ("bench.cpp", "jobs.h")}
    files |= {f"tb/standins/{path.name}": path.read_text() for path in sorted((library / "standins").glob("*.h"))}
    files["tb/call.h"] = call(node)
    files["tb/jobs.txt"] = "".join(each.job(node.spec) for each in words)
    files["tb/answers.txt"] = "".join(each.answer() for each in words)
    settings = {"name": name(node), "part": PART, "clock": f"{CLOCK_NS:g}", "standins": "tb/standins"}
    for path in ("Makefile", "run_hls.tcl", "hls_config.cfg"):
        files[path] = Template((library / "templates" / path).read_text()).substitute(settings)
    return files


def sources(node: Node, values: Values) -> dict[str, str | bytes]:
    """What is synthesised, `src/`."""
    spec = node.spec
    files: dict[str, str | bytes] = {
        f"src/{path.name}": path.read_text() for path in sorted((folder("hls") / "include").glob("*.h"))
    }
    files |= {"src/config.h": config(node), "src/node.h": header(node), f"src/{name(node)}.cpp": top(node)}
    for c in node.couplings:
        files[f"src/contents_weight_{c}.inc"] = contents(values.weights[c - 1], spec.weights[c - 1], spec.lanes)
    for n in node.layers:
        files[f"src/contents_bias_{n}.inc"] = contents(values.biases[n - 1], spec.layers[n].bias, spec.lanes)
    return files


def call(node: Node) -> str:
    """`call.h`: how a test bench calls the top function, the same for every node, with or without links."""
    ports = streams(node)
    every = ["in", "out", "below_in", "below_out", "above_in", "above_out"]
    params = ", ".join(f"mep::words_t &{port if port in ports else ''}".rstrip() for port in every)
    return "\n".join([
        "#ifndef MEP_CALL_H", "#define MEP_CALL_H", "",
        '#include "jobs.h"', '#include "node.h"', "",
        f"inline int call({params},", "                const jobs::Job &job) {",
        f"    return {name(node)}({', '.join(ports)}, job.operation, job.flags, job.free_steps, job.nudged_steps,",
        "                      job.beta);",
        "}", "", "#endif", "",
    ])  # fmt: skip
