"""A node as a netlist of generic gates and flip-flops, by Yosys: what synthesis makes of the source, back as Verilog.

It takes the source's place in a simulation (`build(spec, gates)`), so that the reading of SystemVerilog by a synthesis
tool is checked too. Memories stay memories: vendors' cells have no open models here. Small nodes only.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from mep_hw.fpga import tools

SCRIPT = """\
read_verilog -sv -I. {sources}
hierarchy -check -top mep_node
proc
flatten
opt -fast
memory -nomap
opt -fast
techmap
opt -fast
simplemap
dfflegalize -cell $_DFF_P_ x -cell $_DFFE_PP_ x
splitnets
clean
write_verilog -noattr gates.v
"""
LIMIT_S = 600
WAIVED = "".join(  # names, leftovers and the bits of a bus that feed others of it are Yosys's
    f"/* verilator lint_off {name} */\n" for name in ("DECLFILENAME", "UNUSED", "UNDRIVEN", "UNOPTFLAT", "WIDTH")
)


def gates(files: Mapping[str, str]) -> dict[str, str]:
    """One node's files with all sources replaced by the netlist, whose top keeps its name and ports.

    Raises:
        MachineError: Yosys is missing or fails.
    """
    program = tools.require("yosys")
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        for name, text in files.items():
            (place / name).write_text(text)
        (place / "gates.ys").write_text(SCRIPT.format(sources=" ".join(sorted(n for n in files if n.endswith(".sv")))))
        tools.call([program, "-q", "gates.ys"], timeout_s=LIMIT_S, folder=place)
        netlist = (place / "gates.v").read_text()
    kept = {name: text for name, text in files.items() if name.endswith(".mem")}
    return kept | {"mep_node.sv": WAIVED + netlist}
