"""NIR files: HDF5 with a graph in it, written whole or not at all, and read with everything that can be wrong named.

The library checks shapes on every edge when it builds a graph, and speaks of whatever is wrong by one of several kinds
of exception. Types that it does not know are looked for beforehand, so that the node can be named.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import h5py
import nir

from mep_hw.errors import ModelError
from mep_hw.files import write_atomic

_FAULTS = (AssertionError, AttributeError, IndexError, KeyError, NotImplementedError, TypeError, ValueError)


def write_nir(path: str | Path, graph: nir.NIRGraph) -> None:
    """Write `graph` to one file, replacing it in one step.

    Raises:
        InputError: the folder does not exist or cannot be written to, or `path` is a folder.
    """
    if Path(path).is_dir():
        raise ModelError(str(path), rule="is a folder", fix="give the name of a file in it, such as model.nir")
    whole = io.BytesIO()
    nir.write(cast("Any", whole), graph)
    write_atomic(path, whole.getvalue())


def read_graph(path: str | Path) -> nir.NIRGraph:
    """The graph in a file, with shapes checked on every edge.

    Raises:
        ModelError: no such file, not HDF5, not NIR, an unknown type of node, shapes that disagree.
    """
    name = str(path)
    if not Path(path).is_file():
        raise ModelError(name, rule="does not exist or is not a file", fix="give a file written by nir.write")
    try:
        with h5py.File(path, "r") as file:
            _check_content(name, file)
        return nir.read(path)
    except ModelError:  # which is a ValueError, too
        raise
    except OSError:
        rule, fix = "is not an HDF5 file, or a damaged one", "give a file written by nir.write"
        raise ModelError(name, rule=rule, fix=fix) from None
    except _FAULTS as error:
        fix = "write it again with nir.write, which checks a graph as it is built"
        said = " ".join(str(error).split())  # some messages show arrays
        raise ModelError(name, "graph", rule=f"is not a whole NIR graph ({said[:200]})", fix=fix) from None


def _check_content(name: str, file: h5py.File) -> None:
    top = file.get("node")
    if not isinstance(top, h5py.Group) or "type" not in top or "version" not in file:
        rule = "is HDF5, but holds no NIR graph (no 'version' and 'node')"
        raise ModelError(name, rule=rule, fix="give a file written by nir.write")
    kinds = dict(_kinds(top, ""))
    if kinds[""] != nir.NIRGraph.__name__:
        fix = "put it between an Input and an Output in a graph"
        raise ModelError(name, "graph", rule=f"holds a single node ({kinds['']})", fix=fix)
    for node, kind in kinds.items():
        if kind not in nir.ir.__all__:
            rule, fix = "is a type that this version of nir does not know", f"update nir (here {nir.version})"
            raise ModelError(name, f"node {node}", kind, rule=rule, fix=fix)


def _kinds(group: h5py.Group, name: str) -> Iterator[tuple[str, str]]:
    """Names and types of a node and of all nodes inside it; the first has no name."""
    kind: Any = group["type"]
    yield name, kind.asstr()[()]
    inside = group.get("nodes")
    if isinstance(inside, h5py.Group):
        for inner in inside:
            child = inside[inner]
            if isinstance(child, h5py.Group) and "type" in child:
                yield from _kinds(child, f"{name}.{inner}".lstrip("."))
