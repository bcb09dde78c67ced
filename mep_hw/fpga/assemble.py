"""All files of an export: for every node a project, and above them what they share.

spec.json, values.safetensors   from which everything else can be made again
export.json                     what was asked for, and how the formats were found
README.md                       where to begin
node0/, node1/ ...              one project each, see `mep_hw.fpga.hls` and `mep_hw.fpga.rtl`
cluster.json, ...               with several nodes, see `mep_hw.fpga.cluster`
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

from mep_hw import __version__
from mep_hw.errors import InputError
from mep_hw.fpga import folder
from mep_hw.fpga.cluster import manifest, wiring
from mep_hw.fpga.hls import project as hls
from mep_hw.fpga.node import Node
from mep_hw.fpga.rtl import project as rtl
from mep_hw.fpga.spec import Spec, Values

Kind = Literal["hls", "rtl"]
PROJECTS = {"hls": hls.project, "rtl": rtl.project}
EXPORT = "export.json"
LANGUAGES = {"hls": "C++ for high-level synthesis", "rtl": "SystemVerilog"}
MAKE = {"hls": "make", "rtl": "make -C tb"}
LINKED = {
    "hls": "`cluster.json` says how the nodes are linked, `one_device/` and `boards/` are for Vitis.",
    "rtl": "`cluster.json` says how the nodes are linked: `m_above` of each to `s_below` of the next, `m_below` back "
    "to `s_above`.\nEvery node's modules have the same names: two nodes in one device need libraries of their own.",
}


def files_of(spec: Spec, values: Values, kind: Kind, notes: Mapping[str, Any]) -> dict[str, str | bytes]:
    """Relative path -> content.

    Args:
        notes: what `export.json` keeps besides: the model and how its formats were found.
    """
    files = folder.described(spec, values)
    files[EXPORT] = json.dumps({"schema": 1, "kind": kind, "mep_hw": __version__, **notes}, indent=2) + "\n"
    for index in range(len(spec.nodes)):
        project = PROJECTS[kind](Node(spec, index), values)
        files |= {f"node{index}/{name}": content for name, content in project.items()}
    if len(spec.nodes) > 1:
        cluster = manifest.manifest(spec, values)
        # Names in the files for Vitis are those of the HLS projects.
        files |= wiring.files(spec, cluster) if kind == "hls" else {"cluster.json": cluster.to_json()}
    files["README.md"] = _readme(spec, kind, sorted(files))
    return files


def has_benches(spec: Spec, kind: Kind) -> bool:
    """Whether each project has a test bench of its own: a node in SystemVerilog with links is simulated with others."""
    return kind == "hls" or len(spec.nodes) == 1


def notes(path: Path) -> dict[str, Any]:
    """What `files_of` was told besides, of a folder that it made.

    Raises:
        InputError: `export.json` is missing or damaged.
    """
    return {name: value for name, value in _told(path).items() if name not in ("schema", "kind", "mep_hw")}


def kind_of(path: Path) -> Kind:
    """Of the folder's projects; raises as `notes`."""
    kind = _told(path).get("kind")
    if kind not in ("hls", "rtl"):
        raise InputError(str(path / EXPORT), "kind", kind, rule="must be hls or rtl", fix="export the model anew")
    return kind


def _told(path: Path) -> dict[str, Any]:
    try:
        told = json.loads((path / EXPORT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(str(path / EXPORT), rule=f"cannot be read ({error})", fix="export the model anew") from None
    if not isinstance(told, dict):
        raise InputError(str(path / EXPORT), rule="must hold an object", fix="export the model anew")
    return cast("dict[str, Any]", told)


def _readme(spec: Spec, kind: Kind, names: list[str]) -> str:
    rows = [
        f"| {n} | {layer.units} | {_form(layer.state)} | {layer.low} to {layer.high} "
        f"| {_form(spec.weights[n - 1]) if n else ''} | {_sums(spec, n) if n else ''} |"
        for n, layer in enumerate(spec.layers)
    ]
    nodes = "\n".join(
        f"- `node{index}`: layers {', '.join(map(str, layers))}" for index, layers in enumerate(spec.nodes)
    )
    cluster = f"\n{LINKED[kind]}\n" if len(spec.nodes) > 1 else ""
    bench = (
        f"and a test bench, run by `{MAKE[kind]}` in it" if has_benches(spec, kind) else "and no test bench of its own"
    )
    learning = "learns on the chip" if spec.learning else "does not learn"
    return f"""# {spec.name} as {LANGUAGES[kind]}

An equilibrium network of dense layers, written by mep_hw {__version__}. It settles by synchronous damped Jacobi steps
of whole numbers: {spec.free_steps} steps in the free phase, {spec.nudged_steps} in each nudged one, each of
2^-{spec.step_shift} time constants; {spec.lanes} weights are read at once. This export {learning}.

Formats are signed, bits.fraction; bounds are in units of the format. Sums are bits up, down and in total.

| layer | units | states | range | weights from below | sums |
|---|---|---|---|---|---|
{chr(10).join(rows)}

## Nodes
{nodes}
{cluster}
Each folder has a README with its interfaces, {bench}. All that this
computer's tools can check, against the reference, all nodes together too, is run by

    mep-hw fpga verify .

Nothing here has been synthesised by a vendor's tool, nor run on a board.
`spec.json` and `values.safetensors` hold all numbers; what they mean exactly is written in `mep_hw/fpga/spec.py`.
"""


def _form(form: Any) -> str:
    return f"{form.bits}.{form.fraction}"


def _sums(spec: Spec, layer: int) -> str:
    widths = spec.sums[layer - 1]
    return f"{widths.up}, {widths.down or 'none'}, {widths.total}"
