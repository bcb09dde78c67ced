"""The picture of the study of spiking units: a panel a seed, test accuracy over epochs beside the frozen controls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mep_hw.files import write_atomic
from mep_hw.pictures import png

STYLES = {"rate": ("#1f5fa8", "-"), "spiking": ("#c0392b", "--")}


def plot_spiking(table: dict[str, Any], path: Path) -> None:
    """Write the picture of a study's `table` to `path`; controls are dotted, at their last epoch's accuracy."""
    from matplotlib.figure import Figure  # slow to import, and not needed for the numbers

    seeds = list(dict.fromkeys(run["seed"] for run in table["runs"].values()))
    figure = Figure(figsize=(1.0 + 2.6 * len(seeds), 3.4), layout="constrained")
    axes = figure.subplots(1, len(seeds), sharey=True, squeeze=False)
    panels = list(axes.flat)
    for panel, seed in zip(panels, seeds, strict=True):
        for run in (run for run in table["runs"].values() if run["seed"] == seed):
            color, style = STYLES[run["kind"]]
            epochs = range(1, len(run["course"]) + 1)
            course = [100 * accuracy for accuracy in run["course"]]
            panel.plot(epochs, course, style, marker="o", markersize=3, linewidth=1, color=color, label=run["kind"])
            label = f"{run['kind']}, hidden weights frozen"
            panel.axhline(100 * run["frozen"], color=color, linestyle=":", linewidth=1, label=label)
        panel.set_title(f"seed {seed}", fontsize=9)
        panel.set_xlabel("epoch")
        panel.set_ylim(top=100)
        panel.grid(axis="y", alpha=0.3)
    panels[0].set_ylabel("test accuracy (%)")
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False, fontsize=8
    )
    write_atomic(path, png(figure))
