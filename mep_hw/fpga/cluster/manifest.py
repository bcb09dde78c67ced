"""`cluster.json`: who computes what, what each holds with its CRC-32, and what crosses each link.

It repeats nothing of `spec.json`, which lies beside it, but what a person or a script needs to wire boards together.
Latencies are assumptions, and say so: no board was measured.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from mep_hw.errors import InputError
from mep_hw.fpga.cluster.checksum import crc32
from mep_hw.fpga.cluster.partition import cycles_per_step
from mep_hw.fpga.node import Node
from mep_hw.fpga.spec import Format, Part, Spec, Values, Whole

UNKNOWN = "not chosen"


class Held(Part):
    """An array that WRITE takes."""

    name: str = Field(description="coupling_<c> or bias_<l>")
    shape: tuple[int, ...]
    bits: int
    fraction: int
    crc32: str = Field(pattern="^[0-9a-f]{8}$", description="of its words, see mep_hw.fpga.cluster.checksum")
    cut: bool = Field(description="the neighbour holds it too")


class Board(Part):
    """One node."""

    index: int
    part: str = Field(description="of the device")
    layers: tuple[int, ...]
    held: tuple[Held, ...]
    weight_bits: int
    multiplications_per_step: int
    cycles_per_step: int = Field(description="of a simple model, without links")


class Stream(Part):
    """One direction of a link."""

    layer: int = Field(description="whose states it carries")
    bits: int
    fraction: int
    words: int = Field(description="of a frame, its header among them")
    bytes_per_step: int


class Link(Part):
    """Between two nodes."""

    nodes: tuple[int, int]
    up: Stream
    down: Stream
    latency_cycles: int = Field(ge=0)
    latency_is: str = "an assumption"


class Frame(Part):
    """What a frame looks like."""

    word_bits: int = 32
    header: dict[str, str] = {"frame": "15..0", "phase": "17..16", "job": "31..18"}
    phases: tuple[str, ...] = ("free", "plus", "minus")
    closing: str = "frame 65535 ends a phase of the asynchronous mode"
    then: str = "one state a word, sign-extended; TLAST on the last"


class Manifest(Part):
    """The file."""

    schema_: int = Field(default=1, ge=1, le=1, alias="schema")
    name: str
    nodes: tuple[Board, ...]
    links: tuple[Link, ...]
    frame: Frame = Frame()

    def to_json(self) -> str:
        return self.model_dump_json(indent=2, by_alias=True) + "\n"


def manifest(spec: Spec, values: Values, *, parts: Sequence[str] | None = None, latency_cycles: int = 100) -> Manifest:
    """For the nodes of `spec`, holding `values`.

    Args:
        parts: the device of each node.
        latency_cycles: assumed for every link, in cycles of a node's clock.

    Raises:
        InputError: another number of parts than of nodes.
    """
    count = len(spec.nodes)
    parts = parts or [UNKNOWN] * count
    if len(parts) != count:
        raise InputError(spec.name, "parts", len(parts), rule=f"must be {count}, one for each node", fix="name as many")
    return Manifest(
        schema=1, name=spec.name,
        nodes=tuple(_board(Node(spec, index), values, part) for index, part in enumerate(parts)),
        links=tuple(
            Link(
                nodes=(index, index + 1), up=_stream(spec, spec.nodes[index][-1]),
                down=_stream(spec, spec.nodes[index + 1][0]), latency_cycles=latency_cycles,
            )
            for index in range(count - 1)
        ),
    )  # fmt: skip


def _board(node: Node, values: Values, part: str) -> Board:
    spec, held = node.spec, node.held(values)
    cut = {coupling for coupling in node.couplings if coupling > 1 and coupling in (node.first, node.last + 1)}
    arrays, biases = held[: len(node.couplings)], held[len(node.couplings) :]
    return Board(
        index=node.index, part=part, layers=tuple(node.layers),
        held=(
            *(
                _held(f"coupling_{c}", array, spec.weights[c - 1], c in cut)
                for c, array in zip(node.couplings, arrays, strict=True)
            ),
            *(_held(f"bias_{n}", a, spec.layers[n].bias, False) for n, a in zip(node.layers, biases, strict=True)),
        ),
        weight_bits=sum(values.weights[c - 1].size * spec.weights[c - 1].bits for c in node.couplings),
        multiplications_per_step=sum(values.weights[c - 1].size for c in node.couplings if c > 1),
        cycles_per_step=cycles_per_step(spec, node.index),
    )  # fmt: skip


def _held(name: str, array: Whole, form: Format, cut: bool) -> Held:
    return Held(
        name=name, shape=array.shape, bits=form.bits, fraction=form.fraction, crc32=f"{crc32(array):08x}", cut=cut
    )


def _stream(spec: Spec, number: int) -> Stream:
    layer = spec.layers[number]
    words = 1 + layer.units
    return Stream(
        layer=number, bits=layer.state.bits, fraction=layer.state.fraction, words=words, bytes_per_step=4 * words
    )
