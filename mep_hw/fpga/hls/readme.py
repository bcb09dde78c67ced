"""The README of a node's project: interfaces, formats, and how to run it."""

from __future__ import annotations

from collections.abc import Sequence
from string import Template

from mep_hw.fpga.hls.config import name, words
from mep_hw.fpga.hls.top import streams
from mep_hw.fpga.hls.vectors import Words
from mep_hw.fpga.library import folder
from mep_hw.fpga.node import Node

PORTS = {
    "in": ("in", "values of a job, one a beat"),
    "out": ("out", "the answer, TLAST on its last beat"),
    "below_in": ("in", "frames of node {below}: {first} states of layer {low}"),
    "below_out": ("out", "frames to node {below}: {own_first} states of layer {own_low}"),
    "above_in": ("in", "frames of node {above}: {last} states of layer {high}"),
    "above_out": ("out", "frames to node {above}: {own_last} states of layer {own_high}"),
}


def readme(node: Node, bench: Sequence[Words]) -> str:
    """The text of `README.md`."""
    text = (folder("hls") / "templates" / "README.md").read_text(encoding="utf-8")
    spec = node.spec
    macs = {c: spec.layers[c].units * spec.layers[c - 1].units for c in node.couplings}
    once = macs.get(1, 0)
    sweep = sum(macs.values()) - once
    return Template(text).substitute(
        model=spec.name.replace("|", "/"), index=node.index, count=len(spec.nodes), top=name(node), lanes=spec.lanes,
        layers=_range(node), ports="\n".join(_port(node, port) for port in streams(node)),
        links=_links(node), formats="\n".join(_format(node)), once=once // spec.lanes,
        sweep=sweep // spec.lanes,
        free=spec.free_steps, nudged=spec.nudged_steps, beta=spec.beta, beta_fraction=spec.beta_fraction,
        learning=_learning(node), jobs=len(bench), takes=_takes(node),
    )  # fmt: skip


def _range(node: Node) -> str:
    return f"layer {node.first}" if node.first == node.last else f"layers {node.first} to {node.last}"


def _port(node: Node, port: str) -> str:
    direction, text = PORTS[port]
    layers, low, high = node.spec.layers, node.first - 1, min(node.last + 1, node.spec.depth)
    carried = text.format(
        below=node.index - 1, above=node.index + 1, low=low, high=high, own_low=node.first, own_high=node.last,
        first=layers[low].units, last=layers[high].units,
        own_first=layers[node.first].units, own_last=layers[node.last].units,
    )  # fmt: skip
    return f"| `{port}` | {direction} | {carried} |"


def _links(node: Node) -> str:
    depths = [node.spec.layers[n].units + 1 for here, n in _cuts(node) if here]
    if not depths:
        return "This node has no links."
    return (
        "A frame is a header (bits 15..0 its number in the phase, 17..16 the phase, 31..18 the number of the RUN\n"
        "since reset, both from 0) and the states, TLAST on the last. A node sends a whole frame before it reads one:\n"
        f"give the FIFO of a link {max(depths)} words or more in each direction, or neighbours may wait for each\n"
        "other for ever. A link that stays silent stalls the node; the host has to watch the time."
    )


def _cuts(node: Node) -> list[tuple[bool, int]]:
    """Whether there is a link, and a layer beside it."""
    below, above = not node.takes_input, not node.has_readout
    return [(below, node.first), (below, node.first - 1), (above, node.last), (above, node.last + above)]


def _format(node: Node) -> list[str]:
    spec, lines = node.spec, list[str]()
    for number in range(node.first - 1, min(node.last + 1, spec.depth) + 1):
        layer = spec.layers[number]
        state = f"{layer.state.bits} bits, {layer.state.fraction} behind the point"
        bounds = f"{layer.low * layer.state.step:g} to {layer.high * layer.state.step:g}"
        lines.append(
            f"| states of layer {number} | {layer.units} in {words(layer, spec.lanes)} words | {state} | {bounds} |"
        )
    for c in node.couplings:
        form = spec.weights[c - 1]
        shape = f"{spec.layers[c].units} x {spec.layers[c - 1].units}"
        lines.append(f"| weights into layer {c} | {shape} | {form.bits} bits, {form.fraction} behind the point | |")
    for n in node.layers:
        form, sums = spec.layers[n].bias, spec.sums[n - 1]
        lines.append(f"| biases of layer {n} | {spec.layers[n].units} | {form.bits} bits, {form.fraction} | |")
        lines.append(f"| sums of layer {n} | | up {sums.up}, down {sums.down}, total {sums.total} bits | proved |")
    return lines


def _takes(node: Node) -> str:
    x = f"x ({node.spec.layers[0].units} values)" if node.takes_input else ""
    y = f"y ({node.spec.layers[-1].units} values) if NUDGE is set" if node.has_readout else ""
    return ", then ".join(part for part in (x, y) if part) or "nothing"


def _learning(node: Node) -> str:
    if node.spec.learning is None:
        return "This node was exported without learning: LEARN is refused (status 1)."
    return "LEARN updates weights and biases after the phases; shift registers begin at their seeds after a reset."
