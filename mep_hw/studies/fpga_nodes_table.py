"""The rows of the study of nodes, and its page: what was not run is None in a row and "not run" on the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mep_hw.fpga.node import EMIT_READOUT, LEARN, Node
from mep_hw.fpga.rtl import cycles
from mep_hw.fpga.rtl.config import shape
from mep_hw.fpga.rtl.lockstep import ALL
from mep_hw.studies.markdown import as_markdown, percent

ASSUMED_MHZ = 200.0
NOT_RUN = "not run"
COUNTS = ("lut", "ff", "dsp", "bram18", "bram36", "lutram", "srl")
SPEED = ("P", "learns", "inference", "whole job", "simulated", "busy, steps", "busy, settle", "MHz", "inference us",
         "inferences/s", f"us at {ASSUMED_MHZ:.0f} MHz, assumed")  # fmt: skip
CELLS = ("P", "learns", "family", "LUT", "FF", "DSP", "BRAM18", "BRAM36", "LUTRAM", "SRL", "clock MHz")


def row(node: Node, learning: bool, parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """One node.

    `inference_cycles`: a RUN job without nudging that sends the read-out. `job_cycles`: one of three phases that sends
    all states and, with `learning`, updates what the node holds. `free_cycles`: of the free phase with its static
    drive. `busy_steps`, `busy_settle`: share of cycles in which the lanes multiply weights, in the steps, and in these
    and the static drive. `simulated`: counters of Verilator. `clock_mhz`: of a routed ECP5. Times follow from it.
    """
    spec, form = node.spec, shape(node)
    job = cycles.run(node, ALL | LEARN * learning)
    inference = cycles.run(node, EMIT_READOUT)
    simulated, xcup, ecp5 = (parts.get(name) for name in ("simulated", "xcup", "ecp5"))
    ecp5 = parts.get("ecp5 routed", ecp5)
    clock = None if ecp5 is None else ecp5["clock_mhz"]
    assert inference.total is not None  # a node that holds all layers
    return {
        "lanes": spec.lanes, "learning": learning, "inference_cycles": inference.total, "job_cycles": job.total,
        "free_cycles": inference.static + inference.settle,
        "busy_steps": job.share(), "busy_settle": job.share(cycles.static_words(form)),
        "simulated": None if simulated is None else dict(simulated),
        "clock_mhz": clock, "inference_us": None if clock is None else inference.total / clock,
        "inferences_per_s": None if clock is None else 1e6 * clock / inference.total,
        "assumed_mhz": ASSUMED_MHZ, "assumed_inference_us": inference.total / ASSUMED_MHZ,
        "xcup": _counts(xcup), "ecp5": _counts(ecp5),
    }  # fmt: skip


def agrees(row: Mapping[str, Any]) -> bool | None:
    """Whether Verilator's cycles are those of the formula, and its numbers those of the oracle; None: not run."""
    found = row["simulated"]
    if found is None:
        return None
    return found["equal"] and (found["inference"], found["job"]) == (row["inference_cycles"], row["job_cycles"])


def speed_cells(table: Mapping[str, Any]) -> list[list[str]]:
    """One list per row, for `SPEED`."""
    return [_speed(row) for row in table["rows"]]


def cell_cells(table: Mapping[str, Any]) -> list[list[str]]:
    """One list per row and family, for `CELLS`."""
    return [_cells(row, family) for row in table["rows"] for family in ("xcup", "ecp5")]


def markdown(table: Mapping[str, Any]) -> str:
    """The page."""
    settings, tools = table["settings"], _tools(table)
    forms = [
        f"{name} {settings[name]['bits']} bits, {settings[name]['fraction']} behind the point"
        for name in ("states", "inputs", "weights")
    ]
    where = table["environment"]
    return (
        f"# One node with {settings['model']}\n\n"
        f"{'; '.join(forms)}.\n"
        f"{settings['free_steps']} free and {settings['nudged_steps']} nudged steps.\n"
        f"Made by `mep-hw study fpga` at commit {where['commit']} on {where['processor']};\n"
        f"{tools or 'no synthesis was run'}.\n\n"
        'Cycles by the formula; "simulated" says whether Verilator counts the same and leaves the oracle\'s numbers.\n'
        "An inference takes an input, runs the free phase and sends the read-out. A whole job has three phases, sends\n"
        "all states and, where the node learns, updates it.\n\n"
        f"{as_markdown(SPEED, speed_cells(table))}\n\n"
        "Cells by yosys, which are not those of a vendor's tool; the clock is of one seed, without pins. LUTRAM and\n"
        "SRL are cells (RAM32M16 takes 8 LUTs, a shift register one), LUT is without them.\n\n"
        f"{as_markdown(CELLS, cell_cells(table))}\n"
    )


def _counts(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {name: found[name] for name in (*COUNTS, "tool", "part", "router", "clock_mhz")}


def _speed(row: Mapping[str, Any]) -> list[str]:
    agreed = agrees(row)
    return [
        str(row["lanes"]), "yes" if row["learning"] else "no", str(row["inference_cycles"]), str(row["job_cycles"]),
        NOT_RUN if agreed is None else "equal" if agreed else "differs", percent(row["busy_steps"]),
        percent(row["busy_settle"]), _or_not_run(row["clock_mhz"], ".1f"), _or_not_run(row["inference_us"], ".1f"),
        _or_not_run(row["inferences_per_s"], ".0f"), f"{row['assumed_inference_us']:.1f}",
    ]  # fmt: skip


def _cells(row: Mapping[str, Any], family: str) -> list[str]:
    found, learns = row[family], "yes" if row["learning"] else "no"
    if found is None:
        return [str(row["lanes"]), learns, family, *[NOT_RUN] * (len(COUNTS) + 1)]
    clock = "" if family == "xcup" else _or_not_run(found["clock_mhz"], ".1f")
    return [str(row["lanes"]), learns, family, *(str(found[name]) for name in COUNTS), clock or NOT_RUN]


def _tools(table: Mapping[str, Any]) -> str:
    kinds = [row[family] for row in table["rows"] for family in ("xcup", "ecp5") if row[family] is not None]
    names = sorted({str(found[key]) for found in kinds for key in ("tool", "router", "part") if found[key] is not None})
    return ";\n".join(names)


def _or_not_run(value: float | None, form: str) -> str:
    return NOT_RUN if value is None else f"{value:{form}}"
