"""The picture and the table of the study of links between FPGAs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mep_hw.files import write_atomic
from mep_hw.pictures import png
from mep_hw.studies.markdown import as_markdown

COLORS = {
    "synchronous": "black",
    "asynchronous": "#1f5fa8",
    "asynchronous, jitter": "#2e8b57",
    "asynchronous, 20 % lost": "#c0392b",
}
COLUMNS = ("nodes", "links", "latency", "cycles free", "cycles nudged", "steps", "distance", "of bound", "cosine")


def plot_cluster(table: dict[str, Any], path: Path) -> None:
    """Cycles of a free phase for up to three numbers of nodes, and steps, distance and cosine for the largest."""
    from matplotlib.figure import Figure  # slow to import, and not needed for the numbers

    counts = sorted({row["nodes"] for row in table["rows"]})
    figure = Figure(figsize=(14, 8), layout="constrained")
    axes = figure.subplots(2, 3)
    for panel, nodes in zip(axes[0], counts, strict=False):
        for name, color in COLORS.items():
            rows = _of(table, nodes, name)
            panel.plot([r["latency"] for r in rows], [r["cycles_free"] for r in rows], "o-", color=color, label=name)
        panel.set(yscale="log", ylabel="cycles of a free phase (model)", title=f"{nodes} nodes")
    axes[0][0].legend(fontsize=8)
    steps, distance, cosine = axes[1]
    for name, color in COLORS.items():
        rows = _of(table, counts[-1], name)
        at, least, most = ([r[key] for r in rows] for key in ("latency", "steps_least", "steps_most"))
        steps.plot(at, least, "o-", color=color)
        steps.plot(at, most, "--", color=color)
        distance.plot(at, [r["distance"] for r in rows], "o-", color=color)
        if name != "synchronous":  # is compared with itself
            cosine.plot(at, [1 - r["cosine"] for r in rows], "o-", color=color)
    last = f"{counts[-1]} nodes"
    steps.set(yscale="log", ylabel="steps of a free phase", title=f"{last}: slowest node, fastest dashed")
    distance.set(ylabel="units in the last place", title=f"{last}: worst unit from the fixed point")
    distance.set_ylim(0, 1.2 * max(r["distance"] for r in table["rows"]))
    cosine.set(yscale="log", ylabel="1 - cosine, worst layer", title=f"{last}: s+ - s- against synchronous")
    for panel in axes.flat:
        panel.set(xscale="log", xlabel="latency (cycles)")
        panel.grid(alpha=0.3)
    write_atomic(path, png(figure))


def cluster_markdown(table: dict[str, Any]) -> str:
    """The rows, with a head that says what they are of."""
    settings, held = table["settings"], table["certificate"]
    head = (
        f"Links between FPGAs in simulated time: {'-'.join(map(str, settings['units']))}, {settings['samples']} digits,"
        f" seed {settings['seed']}, commit {table['environment']['commit']}. Cycles are a model. Certificate by"
        f" {held['norm']}, q = {held['factor']:.3f} a step.\n\n"
    )
    lines = [
        [
            str(r["nodes"]), r["links"], str(r["latency"]), f"{r['cycles_free']:.0f}", f"{r['cycles_nudged']:.0f}",
            f"{r['steps_least']:.0f} to {r['steps_most']:.0f}", f"{r['distance']:.1f}", f"{r['of_bound']:.2f}",
            f"{r['cosine']:.4f}",
        ]
        for r in table["rows"]
    ]  # fmt: skip
    return head + as_markdown(COLUMNS, lines) + "\n"


def _of(table: dict[str, Any], nodes: int, name: str) -> list[dict[str, Any]]:
    return [row for row in table["rows"] if row["nodes"] == nodes and row["links"] == name]
