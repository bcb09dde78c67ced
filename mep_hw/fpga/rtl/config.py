"""`mep_config.svh`: the numbers of one node, as parameters that every module of `fpga/rtl` includes.

Tables are packed vectors of 32-bit entries (`HALF`: 64), the entry of index 0 in the lowest bits. Layers count from 0,
the one below the node, over its own from 1 to M, to M + 1, the one above; coupling k comes into layer k + 1; update
entries are the couplings, then the biases of layers 1 to M.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mep_hw.fpga.node import Node

KINDS = ("NONE", "MAC", "RELAX", "FILL", "UPDATE", "BIAS")
TIMEOUT = 1 << 24  # cycles a link may be silent, unless the host says otherwise


@dataclass(frozen=True)
class Shape:
    """Counts of a node that its circuit, its memory files and its cycle formula share."""

    units: tuple[int, ...]  # of layers 0 to M + 1; 0 above the read-out
    words: tuple[int, ...]  # of the same
    base: tuple[int, ...]  # first word of an own layer in the memories of states and biases; 0 for others
    couplings: int
    takes_input: bool
    has_readout: bool
    lanes: int

    @property
    def own(self) -> int:
        """M."""
        return len(self.units) - 2

    @property
    def weight_words(self) -> int:
        return sum(self.units[k + 1] * self.words[k] for k in range(self.couplings))

    @property
    def state_words(self) -> int:
        return sum(self.words[1:-1])

    @property
    def tree(self) -> int:
        """Registered stages of the adder tree."""
        stages, left = 0, self.lanes
        while left > 1:
            stages, left = stages + 1, (left + 3) // 4
        return stages

    @property
    def drain(self) -> int:
        """Cycles from an operation to the first that may read what it wrote: R + 4."""
        return self.tree + 9

    @property
    def linked(self) -> bool:
        return not (self.takes_input and self.has_readout)

    @property
    def gap(self) -> int:
        """Idle cycles between the steps of a node without links: its first layer moves last and is read first."""
        return max(0, self.drain - self.words[1])


def shape(node: Node) -> Shape:
    spec, lanes = node.spec, node.spec.lanes
    units = [spec.layers[n].units for n in range(node.first - 1, node.last + 1)]
    units.append(0 if node.has_readout else spec.layers[node.last + 1].units)
    words = [-(-n // lanes) for n in units]
    base = [0, *(sum(words[1:t]) for t in range(1, len(words) - 1)), 0]
    return Shape(
        tuple(units), tuple(words), tuple(base), len(node.couplings), node.takes_input, node.has_readout, lanes
    )


def header(node: Node) -> str:
    """The file's text."""
    entries = parameters(node)
    lines = [
        f"// Node {node.index} of {node.spec.name}: layers {node.first} to {node.last}. Made by mep_hw.",
        "/* verilator lint_off UNUSEDPARAM */",
        ",\n".join(f"    parameter {text}" for text in entries),
        "/* verilator lint_on UNUSEDPARAM */",
    ]
    return "\n".join(lines) + "\n"


def parameters(node: Node) -> list[str]:
    """Of every module, each as `type NAME = value`."""
    spec, form = node.spec, shape(node)
    own, layers, learning = node.layers, spec.layers[node.first - 1 : node.last + 2], spec.learning
    couplings = node.couplings
    weight = max(spec.weights[c - 1].bits for c in couplings)
    state = max(layer.state.bits for layer in layers)
    bias = max(spec.layers[n].bias_bits for n in own)
    first, by = max(weight, state + 1), max(state, 18 if form.has_readout else 0)
    old = max(weight, bias)
    counts = {
        "P": form.lanes, "M": form.own, "K": form.couplings, "TAKES_INPUT": int(form.takes_input),
        "HAS_READOUT": int(form.has_readout), "HAS_ABOVE": int(not form.has_readout),
        "LEARN": int(learning is not None), "WEIGHT_WORDS": form.weight_words, "STATE_WORDS": form.state_words,
        "OWN_UNITS": sum(form.units[1:-1]),
        "INPUT_WORDS": form.words[0], "TARGET_WORDS": form.words[form.own],
        "STEP_ADDRESS": form.units[1] * form.words[0] if form.takes_input else 0,
        "TREE": form.tree, "DRAIN": form.drain, "GAP": form.gap, "ENTRIES": form.couplings + form.own,
        "WB": weight, "SB": state, "BB": bias, "VB": max(weight, state, bias), "OB": old, "XB": first, "YB": by,
        "MB": first + by, "PB": state + 20, "QB": max(2 * state + 2, 34, old) + 1,
        "UB": max(spec.sums[n - 1].up for n in own), "DB": max(1, *(spec.sums[n - 1].down for n in own)),
        "TB": max(spec.sums[n - 1].total for n in own),
        "LW": _width(form.lanes), "TW": _width(form.own + 2), "NW": _width(max(form.words)),
        "RW": _width(max(form.units)),
        "SW": _width(form.state_words), "AW": _width(max(form.weight_words, form.state_words, *form.words)),
        "EW": _width(form.couplings + form.own), "IW": _width(form.words[0]), "YW": _width(form.words[form.own]),
        "BETA_FRACTION": spec.beta_fraction, "PULL_HALF": (1 << spec.beta_fraction) >> 1,
    }  # fmt: skip
    shifts = {n: spec.shifts(n) for n in own}
    rounds = [spec.headroom(n) + spec.step_shift for n in own]
    tables: dict[str, Sequence[int]] = {
        "UNITS": form.units,
        "WORDS": form.words,
        "BASE": form.base,
        "LOW": [0, *(spec.layers[n].low for n in own), 0],
        "HIGH": [0, *(spec.layers[n].high for n in own), 0],
        "REST": [
            0 if form.takes_input else layers[0].rest, *(spec.layers[n].rest for n in own),
            0 if form.has_readout else layers[-1].rest,
        ],
        "HEAD": [0, *(shifts[n][0] for n in own), 0],
        "UP_SHIFT": [0, *(shifts[n][1] for n in own), 0],
        "DOWN_SHIFT": [0, *(shifts[n][2] for n in own), 0],
        "STEP": [0, *rounds, 0],
        "SHIFT": [0] if learning is None else [
            *(learning.weight_shift[c - 1] for c in couplings), *(learning.bias_shift[n - 1] for n in own)
        ],
        "MOST": [*(spec.weights[c - 1].most for c in couplings), *(spec.layers[n].bias.most for n in own)],
    }  # fmt: skip
    texts = [f'{name} = "{name.split("_")[0].lower()}.mem"' for name in ("WEIGHTS_FILE", "BIASES_FILE", "SEEDS_FILE")]
    return [
        *(f"[2:0] {name} = 3'd{code}" for code, name in enumerate(KINDS)),
        *(f"int {name} = {value}" for name, value in counts.items()),
        *(f"[{32 * len(table) - 1}:0] {name} = {_packed(table, 32)}" for name, table in tables.items()),
        f"[{64 * len(form.units) - 1}:0] HALF = {_packed([0, *((1 << n) >> 1 for n in rounds), 0], 64)}",
        f"[15:0] FREE_STEPS = 16'd{spec.free_steps}",
        f"[15:0] NUDGED_STEPS = 16'd{spec.nudged_steps}",
        f"[16:0] BETA = 17'd{spec.beta}",
        f"[31:0] TIMEOUT = 32'd{TIMEOUT}",
        *texts,
    ]


def _width(count: int) -> int:
    """Bits that tell `count` things apart, at least one."""
    return max(1, (count - 1).bit_length())


def _packed(table: Sequence[int], bits: int) -> str:
    entries = ", ".join(f"{bits}'h{value % (1 << bits):0{bits // 4}x}" for value in reversed(table))
    return f"{{{entries}}}"
