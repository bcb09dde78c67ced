"""The picture of the study of events: accuracy against events, events by step, the contrast, and the energy model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mep_hw.files import write_atomic
from mep_hw.pictures import png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, RED = "#1f5fa8", "#c0392b"


def plot_events(table: dict[str, Any], path: Path) -> None:
    """Write the picture of a study's `table` to `path`; thresholds that were not used after training are left out."""
    from matplotlib.figure import Figure  # slow to import, and not needed for the numbers

    rows = [row for row in table["rows"] if "sent_mean" in row]
    figure = Figure(figsize=(11, 8), layout="constrained")
    accuracy, steps, contrast, energy = figure.subplots(2, 2).flat
    _accuracy(accuracy, rows)
    for shade, row in enumerate(rows):
        label = "all send" if row["threshold"] == 0 else f"threshold {row['threshold']}"
        color = str(0.75 - 0.75 * shade / max(len(rows) - 1, 1))
        steps.plot(range(1, len(row["steps_free"]) + 1), row["steps_free"], color=color, label=label)
    steps.set(xlabel="step of the free phase", ylabel="events per sample, input left out", title="When they are sent")
    steps.set_yscale("symlog", linthresh=0.1)
    steps.set_ylim(-0.02, 1000)  # room for the legend
    steps.legend(fontsize=7, loc="upper right", ncols=2)
    places = range(len(rows))
    for name in rows[0]["cosines"] if rows else ():
        values = [float("nan") if row["cosines"][name] is None else row["cosines"][name] for row in rows]
        contrast.plot(places, values, marker="o", label=f"coupling {name}")
    contrast.set(
        ylabel="cosine to the contrast with all sent", title="Contrast (lowest of the seeds)", ylim=(-0.1, 1.05)
    )
    contrast.legend(fontsize=7)
    middle = [1e9 * row["energy_free_j"] for row in rows]
    energy.fill_between(
        places, [value / 2 for value in middle], [value * 2 for value in middle], color=BLUE, alpha=0.15,
        label="half to twice the energies",
    )  # fmt: skip
    energy.plot(places, middle, color=BLUE, marker="o")
    energy.set(ylabel="nJ per free phase", title=f"Model of the energy, operations of {table['settings']['chip']}")
    energy.set_yscale("log")
    energy.legend(fontsize=7)
    for panel in (contrast, energy):
        panel.set_xticks(list(places), [str(row["threshold"]) for row in rows])
        panel.set_xlabel("threshold (payload units; 0: all send)")
    for panel in (accuracy, steps, contrast, energy):
        panel.grid(alpha=0.3)
    write_atomic(path, png(figure))


def _accuracy(panel: Axes, rows: list[dict[str, Any]]) -> None:
    events = [row["events_free"] for row in rows]
    panel.plot(
        events, [100 * row["sent_mean"] for row in rows], color=BLUE, marker="o", label="used with the threshold"
    )
    means, spreads = ([100 * row[key] for row in rows] for key in ("mean", "spread"))
    panel.errorbar(events, means, spreads, color=RED, marker="s", capsize=2, label="trained with it")
    frozen = [float("nan") if row["frozen_mean"] is None else 100 * row["frozen_mean"] for row in rows]
    panel.plot(events, frozen, color="grey", linestyle=":", marker=".", label="the same, hidden weights frozen")
    for row, place in zip(rows, events, strict=True):
        panel.annotate(
            str(row["threshold"]), (place, 100 * row["sent_mean"]), xytext=(5, 7), textcoords="offset points"
        )
    panel.set_xscale("log")
    panel.set(xlabel="events per free phase and sample", ylabel="test accuracy (%)", title="Accuracy against events")
    panel.legend(fontsize=7)
