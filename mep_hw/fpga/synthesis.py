"""What a node takes of a chip, by open tools: cells as yosys counts them, the clock of an ECP5 as nextpnr routes it.

Counts of yosys are not those of a vendor's tool, and a routed clock holds for one seed, without pins: every figure is
kept with the tool, its version and the part. What was not run has no figures.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from mep_hw.errors import MachineError
from mep_hw.fpga.tools import call, require, version

Family = Literal["xc7", "xcup", "ecp5"]
COMMANDS: dict[str, str] = {
    "xc7": "synth_xilinx -family xc7 -flatten -top {top}",
    "xcup": "synth_xilinx -family xcup -flatten -top {top}",
    "ecp5": "synth_ecp5 -top {top} -json {json}",
}
KINDS: dict[str, str] = {  # cell of a library -> what people count
    r"LUT\d|LUT4": "lut",
    r"FD[RSCP]E(_1)?|TRELLIS_FF": "ff",
    r"CARRY\d|CCU2C": "carry",
    r"DSP48E\d|MULT18X18D": "dsp",
    r"RAMB36E\d": "bram36",
    r"RAMB18E\d|DP16KD": "bram18",
    r"RAM\d+[MX].*|RAM\d+X.*|TRELLIS_DPR16X4": "lutram",
    r"SRL\w+": "srl",
}
ECP5 = "85k", "CABGA756", 8  # size, package, speed grade


@dataclass(frozen=True)
class Synthesis:
    """Counts by kind of cell; `cells` are those of the library, by name. `clock_mhz` None: not routed."""

    tool: str
    family: str
    part: str | None
    lut: int
    ff: int
    dsp: int
    bram18: int
    bram36: int
    lutram: int
    srl: int
    carry: int
    cells: dict[str, int]
    clock_mhz: float | None = None
    router: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def synthesise(
    sources: Sequence[Path], top: str, family: Family, work: Path, *, timeout_s: float = 3600.0
) -> Synthesis:
    """Synthesise with yosys for a family of chips.

    Args:
        work: existing folder for what the tools write; memory files are looked for there, too.

    Raises:
        MachineError: yosys is missing, failed, or took too long.
    """
    program, counts = require("yosys"), f"{family}.stat"
    read = " ".join(f'"{source.resolve()}"' for source in sources)
    command = COMMANDS[family].format(top=top, json=f"{family}.json")
    script = f"read_verilog -sv {read}; {command}; tee -q -o {counts} stat -json"
    call([program, "-q", "-p", script], timeout_s=timeout_s, folder=work)
    cells: dict[str, int] = json.loads((work / counts).read_text())["design"]["num_cells_by_type"]
    kinds = dict.fromkeys(sorted(set(KINDS.values())), 0)
    for name, number in cells.items():
        kind = next((kind for pattern, kind in KINDS.items() if re.fullmatch(pattern, name)), None)
        if kind is not None:
            kinds[kind] += number
    every = dict(sorted(cells.items()))
    return Synthesis(
        version("yosys"), family, None, lut=kinds["lut"], ff=kinds["ff"], dsp=kinds["dsp"], bram18=kinds["bram18"],
        bram36=kinds["bram36"], lutram=kinds["lutram"], srl=kinds["srl"], carry=kinds["carry"], cells=every,
    )  # fmt: skip


def routed(found: Synthesis, work: Path, *, seed: int = 1, timeout_s: float = 3600.0) -> Synthesis:
    """Place and route what `synthesise` left in `work` for an ECP5, and read the clock that it reaches.

    Raises:
        MachineError: nextpnr is missing, failed (such as where the part is too small), or took too long.
    """
    size, package, grade = ECP5
    call(
        [require("nextpnr-ecp5"), f"--{size}", "--package", package, "--speed", str(grade), "--json", "ecp5.json",
         "--seed", str(seed), "--report", "ecp5.report.json", "--timing-allow-fail",
         "--lpf-allow-unconstrained", "--quiet"],
        timeout_s=timeout_s, folder=work,
    )  # fmt: skip
    clocks: dict[str, dict[str, float]] = json.loads((work / "ecp5.report.json").read_text()).get("fmax", {})
    if not clocks:
        raise MachineError(
            "fpga", "nextpnr-ecp5", rule="reports no clock", fix="look at the netlist: has it registers?"
        )
    slowest = min(clock["achieved"] for clock in clocks.values())
    part = f"LFE5U-{size.upper().replace('K', 'F')}-{grade}{package}"
    return replace(found, part=part, clock_mhz=slowest, router=version("nextpnr-ecp5"))
