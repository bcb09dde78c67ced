"""The picture of the study of formats: accuracy, changed answers and contrast against bits of states, by weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mep_hw.files import write_atomic
from mep_hw.pictures import png

FLOOR = 1e-4  # of the panel of changed answers, where none stands


def plot_formats(table: dict[str, Any], path: Path) -> None:
    """Write the picture of a study's `table` to `path`."""
    import matplotlib  # slow to import, and not needed for the numbers
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.4), layout="constrained")
    accuracy, changed, contrast = figure.subplots(1, 3).flat
    rows = [row for row in table["rows"] if row["refused"] is None]
    widths = sorted({row["weight_bits"] for row in rows})
    colours = matplotlib.colormaps["viridis"]
    for place, weights in enumerate(widths):
        line = [row for row in rows if row["weight_bits"] == weights]
        style: dict[str, Any] = {
            "color": colours(0.9 * place / max(len(widths) - 1, 1)),
            "marker": "o",
            "markersize": 4,
        }
        bits = [row["state_bits"] for row in line]
        accuracy.plot(bits, [100 * row["accuracy"] for row in line], label=f"{weights} bits of weights", **style)
        changed.plot(bits, [100 * max(row["changed"], FLOOR) for row in line], **style)
        contrast.plot(bits, [min(row["cosines"]) for row in line], **style)
    chosen = table["choices"]
    for name, marker in (("use", "s"), ("learning", "*")):
        run = chosen[name]
        best = next(t for t in reversed(run["tried"]) if t["passed"])
        place = run["formats"]["state"]["bits"]
        look: dict[str, Any] = {
            "color": "black",
            "marker": marker,
            "markersize": 11,
            "fillstyle": "none",
            "linestyle": "",
        }
        label = f"chosen for {name}: {place} and {run['formats']['weights'][0]['bits']} bits"
        changed.plot([place], [100 * max(best["measured"]["changed"], FLOOR)], label=label, **look)
        contrast.plot([place], [min(run["measured"]["cosines"])], label=label, **look)
    goals = table["settings"]["goals"]
    changed.axhline(100 * goals["use"]["tolerance"], color="black", linestyle=":", label="allowed")
    contrast.axhline(goals["learning"]["cosine"], color="black", linestyle=":", label="asked for, to learn")
    changed.set_yscale("log")
    accuracy.set(ylabel="accuracy, samples held out (%)", title="Accuracy")
    changed.set(ylabel=f"answers changed (%; {100 * FLOOR:g}: none)", title="Changed answers")
    contrast.set(ylabel="smallest cosine of any coupling", title="Contrast against that of cpu in float64")
    changed.set_ylim(top=20)  # room for the legend
    for panel in (accuracy, changed, contrast):
        panel.set_xlabel("bits of states")
        panel.grid(alpha=0.3)
    figure.legend(*accuracy.get_legend_handles_labels(), fontsize=8, loc="outside right upper")
    changed.legend(fontsize=7, loc="upper right")
    contrast.legend(fontsize=7, loc="lower right", bbox_to_anchor=(1, 0.15))
    write_atomic(path, png(figure))
