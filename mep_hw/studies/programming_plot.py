"""The picture of the programming study: accuracy against what was spent, a row of panels per device.

Every curve is a variant, with a point per epoch, so that what reaches a height further left is cheaper. Heights are
logarithms of the error, which sets 95 and 98 % apart as far as they are from a user's point of view. Colour tells the
rule, the marker the form; the dotted line is the best control with frozen hidden weights, above which something is
learned in the hidden layer. The ring is the variant that takes the least to the bar (see `programming_results`), named
above its panel.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mep_hw.files import write_atomic
from mep_hw.pictures import png
from mep_hw.studies.programming_results import COSTS, curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = {
    "samples": "x", "rows": "s", "low rank": "o", "all directions": "D", "transfer": "^",
}  # fmt: skip
COLORS = {"hebbian": "#8a8a8a", "sgd": "#222222", "muon": "#c0392b"}
ACCURACIES = (20, 50, 80, 90, 95, 98)  # percent, that are marked; the last one is the end of the axis
OTHERS = "#2e7d32"
RING = "#c0600f"
BLUES = {4: "#9ecae1", 8: "#5aa5d6", 16: "#1f5fa8", 32: "#0b2d5c"}  # of Dion by rank


def plot_programming(table: dict[str, Any], path: Path) -> None:
    """Write the picture of a study's `table` to `path`."""
    write_atomic(path, png(draw(table)))


def draw(table: dict[str, Any]) -> Figure:
    """Three panels for every device: time, energy, pulses per cell; all on one scale of accuracy."""
    from matplotlib.figure import Figure  # slow to import, and not needed for the numbers
    from matplotlib.ticker import FixedFormatter, FixedLocator, LogLocator, NullFormatter

    shown = [row for row in table["rows"] if row["form"] != "chosen"]
    devices = list(dict.fromkeys(row["device"] for row in shown)) or [""]
    figure = Figure(figsize=(11, 1.4 + 2.3 * len(devices)), layout="constrained")
    axes = figure.subplots(len(devices), len(COSTS), sharey=True, sharex="col", squeeze=False)
    handles: dict[str, Any] = {}
    for device, line in zip(devices, axes, strict=True):
        here = [row for row in shown if row["device"] == device]
        frozen = max((row["frozen"] for row in here if row["frozen"] is not None), default=None)
        for name, panel in zip(COSTS, line, strict=True):
            panel.set_xscale("log")
            known = [_curve(panel, table, row, name, handles) for row in here]
            if frozen is not None:
                handles["frozen"] = panel.axhline(_error(frozen), color="grey", linestyle=":", linewidth=1)
            if not any(known):
                panel.text(0.5, 0.5, "not known", transform=panel.transAxes, ha="center", color="grey")
            panel.grid(alpha=0.3)
            panel.tick_params(labelsize=7)
            panel.xaxis.set_major_locator(LogLocator(numticks=6))
            panel.xaxis.set_minor_formatter(NullFormatter())
        for winner in table["winners"]:
            if winner["device"] == device and winner["variant"] is not None:
                panel = line[list(COSTS).index(winner["cost"])]
                best = f"least: {winner['variant']}, {winner['form']}"
                panel.set_title(best, fontsize=7, loc="right", pad=2, color=RING)
                ring = {"markersize": 13, "markerfacecolor": "none", "markeredgecolor": RING, "linestyle": "none"}
                (handles["least"],) = panel.plot(winner["spent"], _error(winner["bar"]), "o", **ring)
        line[0].set_ylabel(f"{device}\naccuracy (%)", fontsize=8)
    axes[0, 0].set_yscale("log")
    axes[0, 0].set_ylim(95, 100 - ACCURACIES[-1])
    axes[0, 0].yaxis.set_major_locator(FixedLocator([100 - accuracy for accuracy in ACCURACIES]))
    axes[0, 0].yaxis.set_major_formatter(FixedFormatter([f"{accuracy}" for accuracy in ACCURACIES]))
    axes[0, 0].yaxis.set_minor_formatter(NullFormatter())
    for panel, title in zip(axes[-1], COSTS.values(), strict=True):
        panel.set_xlabel(f"{title}, up to the epoch", fontsize=8)
    if handles:
        labels = {"frozen": "hidden weights frozen", "least": "least to the best less 2 points"}
        names = [labels.get(name, name) for name in handles]
        figure.legend(handles.values(), names, loc="outside upper center", ncols=6, frameon=False, fontsize=8)
    return figure


def _curve(panel: Axes, table: dict[str, Any], row: dict[str, Any], name: str, handles: dict[str, Any]) -> bool:
    """Draw one variant, if its cost is known after every epoch, without points of no cost; whether there are any."""
    epochs = curves(table["runs"], row["variant"], row["device"])
    known = all(epoch[name] is not None for epoch in epochs)
    points = [(epoch[name], _error(epoch["accuracy"])) for epoch in epochs if known and epoch[name] > 0]
    color = BLUES.get(row["rank"], BLUES[16]) if row["rule"] == "dion" else COLORS.get(row["rule"], OTHERS)
    style: dict[str, Any] = {"color": color, "marker": MARKERS[row["form"]], "markersize": 4, "linewidth": 1}
    (drawn,) = panel.plot([x for x, _ in points], [y for _, y in points], **style)
    handles.setdefault(row["variant"], drawn)
    return bool(points)


def _error(accuracy: float) -> float:
    """In percent; no error at all is drawn at the end of the axis."""
    return max(100 * (1 - accuracy), 100.0 - ACCURACIES[-1])
