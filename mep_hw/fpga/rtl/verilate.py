"""A program that simulates the nodes of a specification cycle by cycle, made by Verilator and g++.

Every node is a model of its own, all of them are linked into one program (`fpga/rtl/sim`). What it is made of names its
folder in the cache (`XDG_CACHE_HOME`, else ~/.cache), so that it is built once; weights and biases are sent to it as
WRITE jobs and are no part of it. Compiled with little optimisation: building takes longer than most runs.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from mep_hw.fpga import tools
from mep_hw.fpga.library import folder
from mep_hw.fpga.node import Node
from mep_hw.fpga.rtl.config import header
from mep_hw.fpga.rtl.memories import memories
from mep_hw.fpga.spec import Spec, Values

BUILD_S = 600  # limit of one call of Verilator or g++
RUNTIME = ("verilated.cpp", "verilated_threads.cpp")  # of Verilator's own library


def sources() -> dict[str, str]:
    """Every file of the library: name -> text."""
    return {path.name: path.read_text() for path in sorted(folder("rtl").glob("*.sv"))}


def build(spec: Spec, change: Callable[[dict[str, str]], dict[str, str]] | None = None) -> Path:
    """The program for all nodes of `spec`, from the cache if it is there.

    Args:
        change: of one node's files (the library's and `mep_config.svh`), for tests with a broken circuit.

    Raises:
        MachineError: Verilator or g++ is missing, or fails.
    """
    verilator, compiler = tools.require("verilator"), tools.require("g++")
    nothing = _zeros(spec)
    nodes = [Node(spec, index) for index in range(len(spec.nodes))]
    trees = [sources() | {"mep_config.svh": header(node)} | memories(node, nothing) for node in nodes]
    if change is not None:
        trees = [change(tree) for tree in trees]
    bench = {path.name: path.read_text() for path in sorted((folder("rtl") / "sim").iterdir())}
    made_of = repr((trees, bench, tools.version("verilator"), tools.version("g++")))
    place = _cache() / hashlib.sha256(made_of.encode()).hexdigest()[:24]
    if not (place / "simulate").is_file():
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent) as temporary:
            made = Path(temporary) / "made"
            _make(made, trees, bench, verilator, compiler)
            try:
                os.replace(made, place)
            except OSError:  # another process was first
                if not (place / "simulate").is_file():
                    raise
    return place / "simulate"


def _make(place: Path, trees: list[dict[str, str]], bench: dict[str, str], verilator: str, compiler: str) -> None:
    includes = Path(tools.call([verilator, "--getenv", "VERILATOR_ROOT"], timeout_s=60).strip()) / "include"
    for index, tree in enumerate(trees):
        node = place / f"node{index}"
        _write(node, tree)
        tools.call(
            [verilator, "--cc", "-Wall", "--x-initial", "unique", "--prefix", f"Node{index}", "--Mdir", "made",
             "--top-module", "mep_node", "-I.", "mep_node.sv"],
            timeout_s=BUILD_S, folder=node,
        )  # fmt: skip
    _write(place, bench)
    models = [path.relative_to(place) for path in sorted(place.glob("node*/made/*.cpp"))]
    (place / "made.cpp").write_text(nodes_source(len(trees), models))
    paths = [f"-I{path}" for path in (place, includes, includes / "vltstd", *sorted(place.glob("node*/made")))]
    tools.call(
        [compiler, "-std=c++17", "-O1", *paths, place / "made.cpp", *_runtime(compiler, includes),
         "-o", place / "simulate", "-pthread"],
        timeout_s=BUILD_S,
    )  # fmt: skip


def nodes_source(count: int, models: Sequence[Path]) -> str:
    """C++ of a whole program in one unit; the nodes' .mem files are in the folders node0, node1 ... beside it."""
    made = ", ".join(f'load<Node{index}>(folder + "node{index}")' for index in range(count))
    return "\n".join([
        *(f'#include "{path}"' for path in ("main.cpp", *models)),
        f"std::vector<Node *> make_nodes(const std::string &folder) {{ return {{{made}}}; }}", "",
    ])  # fmt: skip


def _runtime(compiler: str, includes: Path) -> list[Path]:
    """Verilator's own library, compiled once for all programs."""
    made: list[Path] = []
    for name in RUNTIME:
        key = hashlib.sha256((includes / name).read_bytes() + tools.version("g++").encode()).hexdigest()[:16]
        place = _cache() / f"{name}-{key}.o"
        if not place.is_file():
            place.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=place.parent) as temporary:
                part = Path(temporary) / "part.o"
                paths = [f"-I{path}" for path in (includes, includes / "vltstd")]
                tools.call(
                    [compiler, "-std=c++17", "-O1", *paths, "-c", includes / name, "-o", part], timeout_s=BUILD_S
                )
                os.replace(part, place)
        made.append(place)
    return made


def _zeros(spec: Spec) -> Values:
    units = [layer.units for layer in spec.layers]
    weights = tuple(np.zeros(shape, np.int64) for shape in zip(units[1:], units[:-1], strict=True))
    return Values(weights, tuple(np.zeros(count, np.int64) for count in units[1:]))


def _cache() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "")
    return (cache if cache.is_absolute() else Path.home() / ".cache") / "mep_hw" / "fpga-rtl"


def _write(place: Path, files: dict[str, str]) -> None:
    place.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (place / name).write_text(text)
