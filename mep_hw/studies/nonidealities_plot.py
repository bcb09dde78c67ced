"""The picture of the ablation: one panel per source, accuracy against strength, all on one scale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mep_hw.files import write_atomic
from mep_hw.pictures import png
from mep_hw.studies.nonidealities_table import BASE, DIGITAL, FROZEN

ACROSS = 6  # panels
BLUE, RED = "#1f5fa8", "#c0392b"
STYLES = {BASE: ("black", "-"), DIGITAL: ("#2e7d32", "--"), FROZEN: ("grey", ":")}


def plot_nonidealities(table: dict[str, Any], path: Path) -> None:
    """Write the picture of a study's `table` to `path`. Strengths are evenly spaced, the mildest on the left; bars are
    the standard deviation over seeds, dots the seeds, a red cross a strength at which a run diverged."""
    from matplotlib.figure import Figure  # slow to import, and not needed for the numbers

    names = list(dict.fromkeys(row["source"] for row in table["rows"]))
    across = max(1, min(ACROSS, len(names)))
    down = max(1, -(-len(names) // across))
    figure = Figure(figsize=(max(6.0, 2.4 * across), 0.8 + 2.1 * down), layout="constrained")
    axes = figure.subplots(down, across, sharey=True, squeeze=False)
    panels = list(axes.flat)
    for panel, name in zip(panels, names, strict=False):
        rows = [row for row in table["rows"] if row["source"] == name]
        places = range(len(rows))
        for reference, (color, style) in STYLES.items():
            if reference in table["references"]:
                height = 100 * table["references"][reference]["mean"]
                panel.axhline(height, color=color, linestyle=style, linewidth=1, label=reference)
        means, spreads = ([100 * row[key] for row in rows] for key in ("mean", "spread"))
        panel.errorbar(
            places, means, spreads, color=BLUE, marker="o", markersize=3, capsize=2, linewidth=1, label="one error"
        )
        for place, row in zip(places, rows, strict=True):
            seeds = [100 * accuracy for accuracy in row["accuracies"]]
            panel.plot([place] * len(seeds), seeds, ".", color=BLUE, alpha=0.5, markersize=4)
        lost = [place for place, row in zip(places, rows, strict=True) if row["diverged"]]
        panel.plot(lost, [means[place] for place in lost], "x", color=RED, markersize=8, label="a run diverged")
        panel.set_xticks(places, [f"{row['strength']:g}" for row in rows], fontsize=7)
        panel.set_xlim(-0.4, len(rows) - 0.6)
        unit = rows[0]["unit"]
        panel.set_title(name if unit == "1" else f"{name} ({unit})", fontsize=8)
        panel.grid(axis="y", alpha=0.3)
    for panel in panels[len(names) :]:
        panel.set_axis_off()
    for panel in axes[:, 0]:
        panel.set_ylabel("accuracy (%)", fontsize=8)
        panel.set_ylim(0, 100)
        panel.tick_params(axis="y", labelsize=7)
    if names:
        figure.legend(
            *panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(STYLES) + 2, frameon=False,
            fontsize=8,
        )  # fmt: skip
    write_atomic(path, png(figure))
