"""`config.h` of a node: the types and sizes of its layers and couplings, and `contents_*.inc`, what it holds at first.

An `ap_fixed<W, I>` has W bits, W - I of them behind the point: sums get the widths that `Spec.sums` proves.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mep_hw.fpga.lfsr import seeded
from mep_hw.fpga.node import Node
from mep_hw.fpga.spec import Format, Layer, Whole


def name(node: Node) -> str:
    """Of the node's top function; its types are in the namespace `<name>_types`."""
    return f"mep_node_{node.index}"


def words(layer: Layer, lanes: int) -> int:
    """Words of `lanes` values that hold one value for each unit."""
    return -(-layer.units // lanes)


def config(node: Node) -> str:
    """The text of `config.h`."""
    spec = node.spec
    shown = range(node.first - 1, min(node.last + 1, spec.depth) + 1)
    parts = [
        f"// Types and sizes of node {node.index} of {_comment(spec.name)}. Generated; spec.json is the source.",
        "",
        "#ifndef MEP_CONFIG_H",
        "#define MEP_CONFIG_H",
        "",
        '#include "mep_ep.h"',
        "",
        f"namespace {name(node)}_types {{",
        "",
        f"static const int LANES = {spec.lanes}; // weights that are read at once",
        f"static const int MOST_BETA = {spec.beta}; // the widths below are proved up to this nudge",
        f"static const int UNITS = {sum(spec.layers[n].units for n in node.layers)}; // of all own layers",
        f"static const bool LEARNS = {'true' if spec.learning else 'false'};",
    ]
    for number in shown:
        parts += ["", *(_own if number in node.layers else _other)(node, number)]
    for number in node.couplings:
        parts += ["", *_coupling(node, number)]
    return "\n".join([*parts, "", f"}} // namespace {name(node)}_types", "", "#endif", ""])


def contents(values: Whole, form: Format, lanes: int) -> str:
    """Rows of words of `lanes` numbers, as initial contents of an array; exact, since they are halves of halves."""
    rows = np.atleast_2d(values)
    padding = -rows.shape[1] % lanes
    lines = np.pad(rows, ((0, 0), (0, padding))).reshape(-1, lanes) * form.step
    return ",\n".join("{" + ", ".join(repr(float(v)) for v in line) + "}" for line in lines) + "\n"


def registers(node: Node) -> dict[str, str]:
    """Initial shift registers by the name of what they round: weight_1 ..., bias_1 ... ."""
    if node.spec.learning is None:
        return {}
    drawn = seeded(node.spec)
    named = [(f"weight_{c}", drawn[c - 1]) for c in node.couplings]
    named += [(f"bias_{n}", drawn[node.spec.depth + n - 1]) for n in node.layers]
    return {what: ", ".join(f"0x{int(v):08x}u" for v in register) for what, register in named}


def fixed(bits: int, fraction: int) -> str:
    return f"ap_fixed<{bits}, {bits - fraction}>"


def _size(node: Node, number: int) -> list[str]:
    layer = node.spec.layers[number]
    count = words(layer, node.spec.lanes)
    return [
        f"    static const int UNITS = {layer.units}, LANES = {node.spec.lanes}, WORDS = {count};",
        f"    typedef {fixed(layer.state.bits, layer.state.fraction)} state_t;",
    ]


def _other(node: Node, number: int) -> Sequence[str]:
    role = "the input" if number == 0 else "held by a neighbour"
    return [f"struct layer_{number} {{ // {role}", *_size(node, number), "};"]


def _own(node: Node, number: int) -> Sequence[str]:
    spec, layer, sums = node.spec, node.spec.layers[number], node.spec.sums[number - 1]
    up, down = spec.fractions(number)
    fraction = spec.headroom(number) + layer.state.fraction
    lines = [f"struct layer_{number} {{", *_size(node, number)]
    lines += [f"    static const int STEP = {spec.step_shift};"]
    if spec.learning is not None:
        lines += [f"    static const int SHIFT = {spec.learning.bias_shift[number - 1]};"]
    lines += [
        f"    typedef {fixed(layer.bias.bits, layer.bias.fraction)} bias_t;",
        f"    typedef {fixed(sums.up, up)} up_t; // W s of the layer below",
    ]
    if down is None:
        lines += [f"    typedef {fixed(18, spec.beta_fraction)} beta_t; // of the nudge, with its sign"]
    else:
        lines += [f"    typedef {fixed(sums.down, down)} down_t; // W^T s of the layer above"]
    return [
        *lines,
        f"    typedef {fixed(sums.total, fraction)} total_t; // drive - s",
        f"    static state_t low() {{ return {layer.low * layer.state.step!r}; }}",
        f"    static state_t high() {{ return {layer.high * layer.state.step!r}; }}",
        f"    static state_t rest() {{ return {layer.rest * layer.state.step!r}; }}",
        "};",
    ]


def _coupling(node: Node, number: int) -> Sequence[str]:
    spec, form = node.spec, node.spec.weights[number - 1]
    lines = [
        f"struct coupling_{number} {{",
        f"    typedef layer_{number - 1} lower;",
        f"    typedef layer_{number} upper;",
        "    static const int LANES = lower::LANES, WORDS = upper::UNITS * lower::WORDS;",
        f"    typedef {fixed(form.bits, form.fraction)} weight_t;",
    ]
    if spec.learning is not None:
        lines += [f"    static const int SHIFT = {spec.learning.weight_shift[number - 1]};"]
    return [*lines, "};"]


def _comment(text: str) -> str:
    """One line that cannot end or continue a comment."""
    return " ".join(text.replace("\\", "/").split())
