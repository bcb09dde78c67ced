"""The picture of a rule study: errors of all variants, and what happens to the layers while they train."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mep_hw.files import write_atomic
from mep_hw.pictures import png
from mep_hw.studies.rules_table import long_means, ranked

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = ("sgd", "adam", "muon", "dion 16", "natural")  # of whom the layers are drawn, free and bounded
TICKS = (1, 2, 5, 10, 20, 50)  # percent


def plot_rules(table: dict[str, Any], path: Path) -> None:
    """Write the picture of a study's `table` to `path`."""
    write_atomic(path, png(draw(table)))


def draw(table: dict[str, Any]) -> Figure:
    """Left: error per variant (dots are seeds). Right: per coupling, size of the contrast against the exact gradient,
    relative change of the weights in one step, and largest singular value; the probe halfway through the first run,
    since at its end the learning rate is zero."""
    from matplotlib.figure import Figure  # slow to import, and not needed for the numbers
    from matplotlib.ticker import FixedLocator, FormatStrFormatter, NullFormatter

    rows = ranked(table)[::-1]
    figure = Figure(figsize=(13, 6.5), layout="constrained")
    grid = figure.add_gridspec(3, 2, width_ratios=(1, 1.25))
    axes = figure.add_subplot(grid[:, 0])
    for place, row in enumerate(rows):
        errors = [100 * e for e in row["short_errors"]]
        axes.plot(errors, [place] * len(errors), "o", color="#1f5fa8", markersize=4, label="tuning budget")
        for mean, mark in zip(long_means(row), ("$1$", "$3$", "$10$"), strict=True):
            if mean is not None:
                axes.plot(100 * mean, place, marker=mark, color="#c0392b", markersize=9)
    axes.set(xlabel="test error (%)", xscale="log")
    # A logarithmic axis by itself labels the ticks in between too, which then overlap.
    axes.xaxis.set_major_locator(FixedLocator(TICKS))
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(range(len(rows)), [f"{r['variant']}  (lr {r['lr']:g})" for r in rows], fontsize=8)
    axes.grid(axis="x", which="both", alpha=0.3)
    axes.set_title("blue: three seeds, tuning budget; red: 1, 3, 10 epochs over all images", fontsize=8)
    panels = [figure.add_subplot(grid[row, 1]) for row in range(3)]
    quantities = {
        "norm_ratio": "|contrast| / |exact gradient|", "relative_change": "|change| / |weights| in one step",
        "largest": "largest singular value",
    }  # fmt: skip
    for name in [f"{base}{end}" for base in SHOWN for end in ("", ", bounded")]:
        probes = next((r["probes"] for r in table["rows"] if r["variant"] == name), [])
        if not probes:
            continue
        steps = sorted({p["step"] for p in probes})
        half = [p for p in probes if p["step"] == steps[len(steps) // 2]]
        for panel, key in zip(panels, quantities, strict=True):
            style = "--" if name.endswith("bounded") else "-"
            color = f"C{SHOWN.index(name.removesuffix(', bounded'))}"
            panel.plot(
                [p["coupling"] for p in half], [p[key] for p in half], style, color=color, label=name, marker="."
            )
    for panel, title in zip(panels, quantities.values(), strict=True):
        panel.set_ylabel(title, fontsize=8)
        panel.set_yscale("log")
    if panels[0].lines:
        panels[0].legend(
            fontsize=7,
            ncols=5,
            frameon=False,
            handlelength=3,
            columnspacing=1,
            loc="lower center",
            bbox_to_anchor=(0.5, 1),
        )
    panels[-1].set_xlabel("coupling (1: from the input)")
    return figure
