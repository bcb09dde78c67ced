"""What a node's top function holds, as C++ text: weights, biases, shift registers, states, sums."""

from __future__ import annotations

from mep_hw.fpga.hls.config import registers
from mep_hw.fpga.node import Node


def has_links(node: Node) -> bool:
    return not (node.takes_input and node.has_readout)


def seen(node: Node) -> range:
    """Layers whose states the node has: its own, and one on either side."""
    return range(node.first - 1, min(node.last + 1, node.spec.depth) + 1)


def memories(node: Node) -> list[str]:
    """Declarations, all static: contents of weights and biases last from job to job."""
    lines = ["    // what the node holds"]
    for c in node.couplings:
        lines += _held(f"weight_{c}", f"coupling_{c}::weight_t", f"coupling_{c}::WORDS")
        lines += [f"#pragma HLS BIND_STORAGE variable=weight_{c} type=ram_2p impl=bram"]
    for n in node.layers:
        lines += _held(f"bias_{n}", f"layer_{n}::bias_t", f"layer_{n}::WORDS")
        lines += [f"#pragma HLS BIND_STORAGE variable=bias_{n} type=ram_2p impl=lutram"]
    for what, initial in registers(node).items():
        lines += [f"    static lfsr_t registers_{what}[LANES] = {{{initial}}};"]
        lines += [f"#pragma HLS ARRAY_PARTITION variable=registers_{what} type=complete dim=1"]
        lines += [f"#pragma HLS RESET variable=registers_{what}"]
    if has_links(node):
        lines += ["    static ap_uint<14> job = 0; // of RUN since reset", "#pragma HLS RESET variable=job"]
    lines += ["", "    // states and sums"]
    for n in seen(node):
        lines += _banks(f"state_{n}", n, "state_t")
        lines += _banks(f"free_{n}", n, "state_t") if n in node.layers else []
        lines += _banks(f"plus_{n}", n, "state_t") if n and node.spec.learning else []
    for n in node.layers:
        lines += _banks(f"up_{n}", n, "up_t")
        lines += _banks(f"down_{n}", n, "down_t") if n < node.spec.depth else []
    if node.has_readout:
        lines += _banks("target", node.last, "state_t")
    return lines


def _held(what: str, kind: str, count: str) -> list[str]:
    return [
        f"    static {kind} {what}[{count}][LANES]",
        "#ifdef MEP_INITIALISERS",
        "        = {",
        f'#include "contents_{what}.inc"',
        "        }",
        "#endif",
        "        ;",
        f"#pragma HLS ARRAY_RESHAPE variable={what} type=complete dim=2",
    ]


def loaded(node: Node) -> list[str]:
    """What fills weights and biases before the first job of a C simulation."""
    held = [(f"weight_{c}", f"coupling_{c}::WORDS") for c in node.couplings]
    held += [(f"bias_{n}", f"layer_{n}::WORDS") for n in node.layers]
    lines = [
        "#ifndef MEP_INITIALISERS",
        "    static bool loaded = false;",
        "    if (!loaded) {",
        "        loaded = true;",
    ]
    for what, count in held:
        lines += [f"        static const double first_{what}[{count}][LANES] = {{", f'#include "contents_{what}.inc"']
        lines += ["        };", f"        load(first_{what}, {what});"]
    return [*lines, "    }", "#endif"]


def _banks(what: str, layer: int, kind: str) -> list[str]:
    return [
        f"    static layer_{layer}::{kind} {what}[layer_{layer}::WORDS][LANES];",
        f"#pragma HLS ARRAY_PARTITION variable={what} type=complete dim=2",
        f"#pragma HLS BIND_STORAGE variable={what} type=ram_2p impl=lutram",
    ]
