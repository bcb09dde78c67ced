"""The netlist of a node in generic gates, by yosys, as Verilog that is simulated in place of its sources.

Memories are kept as memories; all else is single-bit gates and flip-flops. It proves what synthesis makes of the
sources, not what mapping to the cells of a chip makes of these: vendors' cells need vendors' models.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from mep_hw.fpga.tools import call, require

LIMIT_S = 600.0
NETLIST = "mep_node.sv"
SCRIPT = (
    "read_verilog -sv {sources}; hierarchy -check -top mep_node; proc; flatten; opt; memory -nomap; opt -full; "
    "techmap; simplemap; opt; abc -fast -g AND,OR,XOR,MUX; opt_clean -purge; write_verilog -noattr " + NETLIST
)
STYLE = ("DECLFILENAME", "WIDTH", "UNUSED", "UNDRIVEN", "UNOPTFLAT", "BLKSEQ", "INITIALDLY", "CMPCONST", "SELRANGE")


def gates(files: dict[str, str]) -> dict[str, str]:
    """The netlist in place of the sources of one node, for `change` of `mep_hw.fpga.rtl.verilate.build`.

    Raises:
        MachineError: yosys is missing, fails or takes too long.
    """
    program = require("yosys")
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        for name, text in files.items():
            (work / name).write_text(text)
        sources = " ".join(sorted(name for name in files if name.endswith(".sv")))
        (work / NETLIST).rename(work / "top.sv")
        script = SCRIPT.format(sources=sources.replace(NETLIST, "top.sv"))
        call([program, "-q", "-p", script], timeout_s=LIMIT_S, folder=work)
        quiet = "".join(f"/* verilator lint_off {name} */\n" for name in STYLE)  # of a netlist, not of what it does
        return {NETLIST: quiet + (work / NETLIST).read_text()}
