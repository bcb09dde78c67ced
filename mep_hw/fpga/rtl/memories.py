"""The `.mem` files of a node for `$readmemh`: a word of P values a line, the value of lane 0 in the lowest bits."""

from __future__ import annotations

import numpy as np

from mep_hw.fpga.lfsr import seeded
from mep_hw.fpga.node import Node
from mep_hw.fpga.spec import Values, Whole


def memories(node: Node, values: Values) -> dict[str, str]:
    """Weights and biases that the node holds, and the seeds of its shift registers if it learns."""
    spec, lanes = node.spec, node.spec.lanes
    weight = max(spec.weights[c - 1].bits for c in node.couplings)
    bias = max(spec.layers[n].bias_bits for n in node.layers)
    files = {
        "weights.mem": _lines([values.weights[c - 1] for c in node.couplings], lanes, weight),
        "biases.mem": _lines([values.biases[n - 1] for n in node.layers], lanes, bias),
    }
    if spec.learning is not None:
        registers = seeded(spec)
        entries = [registers[c - 1] for c in node.couplings] + [registers[spec.depth + n - 1] for n in node.layers]
        files["seeds.mem"] = _lines(entries, lanes, 32)
    return files


def _lines(blocks: list[Whole], lanes: int, bits: int) -> str:
    lines: list[str] = []
    for block in blocks:
        flat = block.reshape(-1)
        padded = np.concatenate([flat, np.zeros(-len(flat) % lanes, dtype=np.int64)])
        for word in padded.reshape(-1, lanes).tolist():
            whole = sum((value % (1 << bits)) << bits * lane for lane, value in enumerate(word))
            lines.append(f"{whole:0{-(-bits * lanes // 4)}x}")
    return "\n".join(lines) + "\n"
