"""The top function of a node, as C++ text: its ports, what it holds, and the jobs of `mep_hw.fpga.node`.

Only the sequence is generated, what each line does is in the header library. Frames leave before the sweeps that need
no neighbour and are awaited after them, so that a link's latency hides behind work.
"""

from __future__ import annotations

from collections.abc import Sequence

from mep_hw.fpga.hls.config import name
from mep_hw.fpga.hls.memories import has_links, loaded, memories, seen
from mep_hw.fpga.node import Node

STREAM = "mep::words_t &"
SCALARS = (
    ("ap_uint<8>", "operation"),
    ("ap_uint<8>", "flags"),
    ("ap_uint<16>", "free_steps"),
    ("ap_uint<16>", "nudged_steps"),
    ("ap_uint<17>", "beta"),
)


def streams(node: Node) -> list[str]:
    """Names of the node's stream ports, in order."""
    below = [] if node.takes_input else ["below_in", "below_out"]
    above = [] if node.has_readout else ["above_in", "above_out"]
    return ["in", "out", *below, *above]


def declaration(node: Node) -> str:
    """Of the top function, without its end."""
    ports = [STREAM + port for port in streams(node)]
    scalars = [f"{kind} {port}" for kind, port in SCALARS]
    space = " " * (len(name(node)) + 5)
    return f"int {name(node)}({', '.join(ports)},\n{space}{', '.join(scalars)})"


def header(node: Node) -> str:
    """`node.h`, which a test bench includes."""
    guard = name(node).upper() + "_H"
    return f'#ifndef {guard}\n#define {guard}\n\n#include "mep_ep.h"\n\n{declaration(node)};\n\n#endif\n'


def top(node: Node) -> str:
    """The text of `<name>.cpp`."""
    head = [
        f"// Node {node.index}: layers {node.first} to {node.last}. Generated; the README says what its ports carry.",
        "",
        '#include "node.h"',
        "",
        '#include "config.h"',
        "",
        "// Contents of the memories after configuration are initialisers for synthesis. C simulation loads the same",
        "// numbers in the first call: so many constructors would take minutes to compile.",
        "#ifdef __SYNTHESIS__",
        "#define MEP_INITIALISERS",
        "#endif",
        "",
    ]
    body = [*_interface(node), "", *memories(node), "", *loaded(node), "", *_write(node), *_read(node), *_run(node)]
    return "\n".join([*head, declaration(node) + " {", *body, "}", ""])


def _interface(node: Node) -> list[str]:
    lines = [f"#pragma HLS INTERFACE mode=axis port={port} register_mode=both" for port in streams(node)]
    scalars = [port for _, port in SCALARS]
    lines += [f"#pragma HLS INTERFACE mode=s_axilite port={port} bundle=control" for port in [*scalars, "return"]]
    return [*lines, "    using namespace mep;", f"    using namespace {name(node)}_types;"]


def _write(node: Node) -> list[str]:
    return [
        "    if (operation == WRITE) {",
        *(f"        take_weights<coupling_{c}>(in, weight_{c});" for c in node.couplings),
        *(f"        take<layer_{n}, layer_{n}::bias_t>(in, bias_{n});" for n in node.layers),
        "        return DONE;",
        "    }",
    ]


def _read(node: Node) -> list[str]:
    count = [f"coupling_{c}::WORDS * LANES" for c in node.couplings] + ["UNITS"]
    return [
        "    if (operation == READ) {",
        f"        int left = {' + '.join(count)};",
        *(f"        emit_weights<coupling_{c}>(out, weight_{c}, left);" for c in node.couplings),
        *(f"        emit<layer_{n}, layer_{n}::bias_t>(out, bias_{n}, left);" for n in node.layers),
        "        return DONE;",
        "    }",
    ]


def _run(node: Node) -> list[str]:
    lines = [
        "    const ap_uint<8> needs_nudge = LEARN | EMIT_PLUS | EMIT_MINUS;",
        "    if (operation != RUN || beta > MOST_BETA || ((flags & needs_nudge) != 0 && (flags & NUDGE) == 0) ||",
        "        ((flags & LEARN) != 0 && !LEARNS)) {",
        "        return BAD_JOB;",
        "    }",
    ]
    if node.takes_input:
        lines += ["    take<layer_0, layer_0::state_t>(in, state_0);"]
    if node.has_readout:
        kind = f"layer_{node.last}"
        lines += ["    if ((flags & NUDGE) != 0) {", f"        take<{kind}, {kind}::state_t>(in, target);", "    }"]
    if node.takes_input:
        lines += ["    sweep_up<coupling_1>(weight_1, state_0, up_1); // constant, once a job"]
    lines += [
        "",
        "    int left = 0;",
        *_counted("EMIT_FREE", "UNITS"),
        *(_counted("EMIT_READOUT", f"layer_{node.last}::UNITS") if node.has_readout else []),
        *_counted("EMIT_PLUS", "UNITS"),
        *_counted("EMIT_MINUS", "UNITS"),
        "    int status = DONE;",
        "phases:",
        "    for (int phase = FREE; phase <= MINUS; phase++) {",
        "        if (status != DONE || (phase != FREE && (flags & NUDGE) == 0)) {",
        "            break;",
        "        }",
        *_start(node),
        *_steps(node),
        *_end(node),
        "    }",
    ]
    if node.spec.learning is not None:
        lines += ["    if (status == DONE && (flags & LEARN) != 0) {", *_learning(node), "    }"]
    return [*lines, *(["    job++;"] if has_links(node) else []), "    return status;"]


def _counted(flag: str, units: str) -> list[str]:
    return [f"    if ((flags & {flag}) != 0) {{", f"        left += {units};", "    }"]


def _start(node: Node) -> list[str]:
    fill = [f"            fill<layer_{n}, layer_{n}::state_t>(state_{n}, layer_{n}::rest());" for n in node.layers]
    back = [f"            copy<layer_{n}, layer_{n}::state_t>(free_{n}, state_{n});" for n in node.layers]
    lines = ["        if (phase == FREE) {", *fill, "        } else {", *back, "        }"]
    if node.has_readout:
        lines += [
            "        const ap_int<18> nudge = phase == PLUS ? ap_int<18>(beta) : ap_int<18>(-beta);",
            "        const ap_int<18> strength = phase == FREE ? ap_int<18>(0) : nudge;",
        ]
    return [*lines, "        const ap_uint<16> steps = phase == FREE ? free_steps : nudged_steps;"]


def _steps(node: Node) -> list[str]:
    """All steps of a phase; with links there is a frame before each and one after the last."""
    sends, receives = _frames(node)
    inner = [
        f"sweep_both<coupling_{c}>(weight_{c}, state_{c - 1}, state_{c}, up_{c}, down_{c - 1});"
        for c in range(node.first + 1, node.last + 1)
    ]
    outer = list[str]()
    if not node.takes_input:
        c = node.first
        outer += [f"sweep_up<coupling_{c}>(weight_{c}, state_{c - 1}, up_{c});"]
    if not node.has_readout:
        c = node.last + 1
        outer += [f"sweep_down<coupling_{c}>(weight_{c}, state_{c}, down_{c - 1});"]
    relax = [f"relax<layer_{n}>(state_{n}, bias_{n}, up_{n}, down_{n});" for n in node.layers if n < node.spec.depth]
    if node.has_readout:
        n = node.last
        relax += [
            f"relax_readout<layer_{n}>(state_{n}, bias_{n}, up_{n}, target, number<layer_{n}::beta_t>(strength));"
        ]
    loop = ["    steps:"]
    if not sends:
        return [*loop, "        for (int step = 0; step < steps; step++) {", *_deep(3, [*inner, *relax]), "        }"]
    return [
        *loop,
        "        for (int step = 0; step <= steps && status == DONE; step++) {",
        "            const word_t head = header(job, phase, step);",
        *_deep(3, sends),
        *(["            if (step < steps) {", *_deep(4, inner), "            }"] if inner else []),
        *_deep(3, receives),
        "            if (step < steps && status == DONE) {",
        *_deep(4, [*outer, *relax]),
        "            }",
        "        }",
    ]


def _frames(node: Node) -> tuple[list[str], list[str]]:
    sends, receives = list[str](), list[str]()
    for here, own, other, port in (
        (not node.takes_input, node.first, node.first - 1, "below"),
        (not node.has_readout, node.last, node.last + 1, "above"),
    ):
        if here:
            sends += [f"send_frame<layer_{own}>({port}_out, head, state_{own});"]
            receives += [
                f"if (!receive_frame<layer_{other}>({port}_in, head, state_{other})) {{",
                f"    status |= BAD_{port.upper()};",
                "}",
            ]
    return sends, receives


def _end(node: Node) -> list[str]:
    def emitted(phase: str, flag: str, layers: Sequence[int], indent: int) -> list[str]:
        calls = [f"    emit<layer_{n}, layer_{n}::state_t>(out, state_{n}, left);" for n in layers]
        return _deep(indent, [f"if (phase == {phase} && (flags & {flag}) != 0) {{", *calls, "}"])

    own = list(node.layers)
    kept = [f"    copy<layer_{n}, layer_{n}::state_t>(state_{n}, free_{n});" for n in own]
    lines = ["        if (status != DONE) {", "            break;", "        }"] if has_links(node) else []
    lines += _deep(2, ["if (phase == FREE) {", *kept, "}"])
    lines += emitted("FREE", "EMIT_FREE", own, 2)
    lines += emitted("FREE", "EMIT_READOUT", [node.last], 2) if node.has_readout else []
    if node.spec.learning is not None:
        plus = [f"    copy<layer_{n}, layer_{n}::state_t>(state_{n}, plus_{n});" for n in seen(node) if n]
        lines += _deep(2, ["if (phase == PLUS) {", *plus, "}"])
    return [*lines, *emitted("PLUS", "EMIT_PLUS", own, 2), *emitted("MINUS", "EMIT_MINUS", own, 2)]


def _learning(node: Node) -> list[str]:
    """After the phase minus, whose states are still there; the input is the same in both."""
    lines = list[str]()
    for c in node.couplings:
        below = f"plus_{c - 1}" if c > 1 else "state_0"
        lines += [
            f"        learn_weights<coupling_{c}>(weight_{c}, registers_weight_{c}, {below}, state_{c - 1}, "
            f"plus_{c}, state_{c});"
        ]
    return lines + [
        f"        learn_biases<layer_{n}>(bias_{n}, registers_bias_{n}, plus_{n}, state_{n});" for n in node.layers
    ]


def _deep(levels: int, lines: Sequence[str]) -> list[str]:
    return ["    " * levels + line for line in lines]
