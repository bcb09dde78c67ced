"""Text files that wire a cluster: connectivity for Vitis, and sketches of what starts it.

`link.cfg` joins the kernels of all nodes in one device. For several boards there is a file for each, in which a link
goes through a network kernel; such kernels, and the movers between memory and streams, come from a vendor or a board's
shell and are not ours, so these files name ports that are to be filled in. None of this has been run: there was no
Vitis and no board. Ports and names are those of the HLS projects.
"""

from __future__ import annotations

from string import Template

from mep_hw.fpga.cluster.manifest import Manifest
from mep_hw.fpga.node import EMIT_READOUT, LEARN, NUDGE, READ, RUN, WRITE, Node
from mep_hw.fpga.spec import Spec

NOT_RUN = "Not run: there was no Vitis and no board where this was written."


def files(spec: Spec, manifest: Manifest) -> dict[str, str]:
    """Relative path -> text, of everything beside the nodes' own projects. Nothing is written to disk."""
    count = len(spec.nodes)
    return {
        "cluster.json": manifest.to_json(),
        "one_device/link.cfg": _one_device(manifest),
        **{f"boards/node_{index}.cfg": _board(manifest, index) for index in range(count)},
        "boards/launch.sh": LAUNCH.substitute(not_run=NOT_RUN, last=count - 1),
        "boards/host.py": HOST.substitute(
            not_run=NOT_RUN, name=spec.name, count=count, nudge=NUDGE, learn=LEARN, readout=EMIT_READOUT,
            operations=f"{WRITE}, {READ}, {RUN}",
            nodes="\n".join(f"    {index}: {_takes(spec, index)}," for index in range(count)),
            free=spec.free_steps, nudged=spec.nudged_steps, beta=spec.beta,
        ),
    }  # fmt: skip


def _one_device(manifest: Manifest) -> str:
    count = len(manifest.nodes)
    lines = [
        "# All nodes in one device: v++ --link --config link.cfg node_*.xo mm2s.xo s2mm.xo",
        f"# {NOT_RUN}",
        "# mm2s and s2mm are movers between memory and 32-bit streams, to be taken from a vendor's examples.",
        "[connectivity]",
        *(f"nk=mep_node_{index}:1:node_{index}" for index in range(count)),
        *_movers(range(count)),
    ]
    for link in manifest.links:
        low, high = link.nodes
        lines += [
            f"# states of layer {link.up.layer} up and of layer {link.down.layer} down; each FIFO holds two frames",
            f"sc=node_{low}.above_out:node_{high}.below_in:{_depth(2 * link.up.words)}",
            f"sc=node_{high}.below_out:node_{low}.above_in:{_depth(2 * link.down.words)}",
        ]
    lines += ["# Where a device has several dies, neighbours belong in neighbouring ones:"]
    lines += [f"# slr=node_{index}:SLR{index}" for index in range(count)]
    return "\n".join([*lines, ""])


def _board(manifest: Manifest, index: int) -> str:
    lines = [
        f"# SKETCH. Node {index} alone in its device, on {manifest.nodes[index].part}.",
        f"# {NOT_RUN}",
        "# network_<side> stands for an Aurora or Ethernet kernel of the board's shell; its port names are examples.",
        "# It must keep the order of frames. Aurora's receiver cannot hold its sender back: the FIFO behind it must",
        "# hold two frames, which is all that a neighbour sends ahead in the synchronous mode.",
        "[connectivity]",
        f"nk=mep_node_{index}:1:node_{index}",
        *_movers([index]),
    ]
    for link in manifest.links:
        if index in link.nodes:
            side, incoming = ("above", link.down) if index == link.nodes[0] else ("below", link.up)
            lines += [
                f"# link of node {link.nodes[0]} and node {link.nodes[1]}",
                f"sc=node_{index}.{side}_out:network_{side}.tx",
                f"sc=network_{side}.rx:node_{index}.{side}_in:{_depth(2 * incoming.words)}",
            ]
    return "\n".join([*lines, ""])


def _movers(nodes: range | list[int]) -> list[str]:
    to, back = (",".join(f"{way}_{index}" for index in nodes) for way in ("to", "from"))
    streams = [f"sc=to_{i}.stream:node_{i}.in\nsc=node_{i}.out:from_{i}.stream" for i in nodes]
    return [f"nk=mm2s:{len(nodes)}:{to}", f"nk=s2mm:{len(nodes)}:{back}", *streams]


def _depth(words: int) -> int:
    """FIFOs have a power of two of words, 16 at least."""
    return max(16, 1 << (words - 1).bit_length())


def _takes(spec: Spec, index: int) -> str:
    """What the host needs to know of a node: words that it takes and holds, and the streams before its scalars."""
    node = Node(spec, index)
    held = sum(spec.layers[c].units * spec.layers[c - 1].units for c in node.couplings)
    held += sum(spec.layers[n].units for n in node.layers)
    x, y = node.takes_input * spec.layers[0].units, node.has_readout * spec.layers[-1].units
    streams = 2 + 2 * (not node.takes_input) + 2 * (not node.has_readout)
    return f'{{"held": {held}, "x": {x}, "y": {y}, "streams": {streams}}}'


LAUNCH = Template("""#!/bin/sh
# SKETCH. One process for each node; NODE_<i> names the host of node i, here if it is not set.
# $not_run
# Usage: launch.sh JOBS, a folder with held_<i>.bin for each node, x.bin and y.bin, which all hosts see.
set -eu
here=$$(cd "$$(dirname "$$0")" && pwd)
jobs=$$1
started=""
trap 'for process in $$started; do kill "$$process" 2>/dev/null || true; done' EXIT INT TERM
for node in $$(seq 0 $last); do
  eval "host=\\$${NODE_$$node:-}"
  if [ -n "$$host" ]; then
    ssh "$$host" python3 "$$here/host.py" "$$node" "$$here/node_$$node.xclbin" "$$jobs" &
  else
    python3 "$$here/host.py" "$$node" "$$here/node_$$node.xclbin" "$$jobs" &
  fi
  started="$$started $$!"
done
for process in $$started; do wait "$$process"; done
started=""
""")

HOST = Template('''"""SKETCH: one node of $name ($count nodes) on its board, through XRT's Python API.

$not_run
Usage: host.py NODE XCLBIN JOBS [--learn]. Writes JOBS/out_NODE.bin. All files hold 32-bit words, little endian. The
other nodes have to run at the same time (launch.sh). A lost frame leaves every node waiting: each job has a time limit.
"""

import sys
from pathlib import Path

import pyxrt

NODES = {  # 32-bit words that a node holds and takes for a sample, and its streams
$nodes
}
STEPS = ($free, $nudged, $beta)  # free, nudged, and beta
WRITE, READ, RUN = $operations
NUDGE, LEARN, EMIT_READOUT = $nudge, $learn, $readout
LIMIT_MS = 10_000
TO, FROM = pyxrt.xclBOSyncDirection.XCL_BO_SYNC_BO_TO_DEVICE, pyxrt.xclBOSyncDirection.XCL_BO_SYNC_BO_FROM_DEVICE


class Board:
    def __init__(self, node: int, xclbin: str) -> None:
        self.device = pyxrt.device(0)
        uuid = self.device.load_xclbin(pyxrt.xclbin(xclbin))
        names = (f"mep_node_{node}", f"mm2s:{{to_{node}}}", f"s2mm:{{from_{node}}}")
        kernels = [pyxrt.kernel(self.device, uuid, name, pyxrt.kernel.exclusive) for name in names]
        self.node, self.to, self.back = kernels
        self.streams = NODES[node]["streams"]

    def job(self, operation: int, flags: int, words: bytes, answer: int) -> bytes:
        """Send words, run, and return `answer` words."""
        runs = []
        if answer:
            out = pyxrt.bo(self.device, 4 * answer, pyxrt.bo.normal, self.back.group_id(0))
            runs.append(self.back(out, answer))
        run = pyxrt.run(self.node)
        for place, value in enumerate((operation, flags, *STEPS)):
            run.set_arg(self.streams + place, value)
        run.start()
        runs.append(run)
        if words:
            given = pyxrt.bo(self.device, len(words), pyxrt.bo.normal, self.to.group_id(0))
            given.write(words, 0)
            given.sync(TO, len(words), 0)
            runs.append(self.to(given, len(words) // 4))
        for started in runs:
            if started.wait(LIMIT_MS) != pyxrt.ert_cmd_state.ERT_CMD_STATE_COMPLETED:
                sys.exit("a job did not end in time: is every node running, and every link up?")
        if not answer:
            return b""
        out.sync(FROM, 4 * answer, 0)
        return bytes(out.read(4 * answer, 0))


def main(node: int, xclbin: str, folder: Path, learn: bool) -> None:
    board, sizes = Board(node, xclbin), NODES[node]
    board.job(WRITE, 0, (folder / f"held_{node}.bin").read_bytes(), 0)
    x, y = (folder / "x.bin").read_bytes(), (folder / "y.bin").read_bytes()
    first, last = NODES[0]["x"], NODES[max(NODES)]["y"]
    found = b""
    for row in range(len(x) // (4 * first)):
        words = x[4 * first * row :][: 4 * sizes["x"]]
        words += y[4 * last * row :][: 4 * sizes["y"]] if learn else b""
        found += board.job(RUN, EMIT_READOUT | (NUDGE | LEARN if learn else 0), words, sizes["y"])
    if learn:
        (folder / f"held_{node}.bin").write_bytes(board.job(READ, 0, b"", sizes["held"]))
    (folder / f"out_{node}.bin").write_bytes(found)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), "--learn" in sys.argv[4:])
''')
