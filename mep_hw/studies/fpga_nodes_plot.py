"""The picture of the study of nodes: time, throughput, busy lanes and cells against P."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mep_hw.files import write_atomic
from mep_hw.pictures import png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, RED, GREY = "#1f5fa8", "#c0392b", "0.55"
FAMILIES = {"xcup": BLUE, "ecp5": RED}
Row = dict[str, Any]


def plot_nodes(table: dict[str, Any], path: Path) -> None:
    """Write the picture of a study's `table`; what was not run is left out. Cells of learning nodes are crosses."""
    from matplotlib.figure import Figure  # slow to import, and not needed for the numbers

    fixed = [row for row in table["rows"] if not row["learning"]]
    figure = Figure(figsize=(12, 7), layout="constrained")
    panels = figure.subplots(2, 3)
    time, rate, busy = panels[0]
    _line(time, fixed, "inference_us", RED, "at the routed clock of an ECP5")
    _line(time, fixed, "assumed_inference_us", GREY, f"at {fixed[0]['assumed_mhz']:.0f} MHz, assumed", "--")
    time.set(yscale="log", ylabel="us", title="Latency of an inference")
    _line(rate, fixed, "inferences_per_s", RED, "at the routed clock of an ECP5")
    assumed = [row | {"rate": 1e6 / row["assumed_inference_us"]} for row in fixed]
    _line(rate, assumed, "rate", GREY, f"at {fixed[0]['assumed_mhz']:.0f} MHz, assumed", "--")
    rate.set(yscale="log", ylabel="inferences per second", title="Throughput")
    shares = [row | {name: 100 * row[name] for name in ("busy_steps", "busy_settle")} for row in fixed]
    _line(busy, shares, "busy_settle", BLUE, "of steps and static drive")
    _line(busy, shares, "busy_steps", "black", "of the steps alone")
    busy.axhline(85, color=GREY, linestyle=":")
    busy.set(ylim=(0, 102), ylabel="% of cycles", title="Lanes that multiply")
    for panel, (name, title) in zip(
        panels[1], {"lut": "LUT, without those that are memory", "ff": "Flip-flops", "dsp": "Multipliers"}.items(),
        strict=True,
    ):  # fmt: skip
        for family, color in FAMILIES.items():
            _cells(panel, table["rows"], family, name, color)
        panel.set(ylabel="cells", title=title)
        panel.set_ylim(bottom=0)
    for panel in panels.flat:
        panel.set_xscale("log", base=2)
        panel.set_xticks([row["lanes"] for row in fixed], [str(row["lanes"]) for row in fixed])
        panel.set_xlabel("P")
        panel.grid(alpha=0.3)
        if panel.get_legend_handles_labels()[0]:
            panel.legend(fontsize=7)
    figure.suptitle(f"One node with {table['settings']['model']}", fontsize=11)
    write_atomic(path, png(figure))


def _line(panel: Axes, rows: Sequence[Row], name: str, color: str, label: str, style: str = "-") -> None:
    known = [row for row in rows if row[name] is not None]
    if known:
        panel.plot(
            [row["lanes"] for row in known], [row[name] for row in known], style, marker="o", color=color, label=label
        )


def _cells(panel: Axes, rows: Sequence[Row], family: str, name: str, color: str) -> None:
    for learns, marker, style in ((False, "o", "-"), (True, "x", "")):
        known = [row for row in rows if row[family] is not None and row["learning"] == learns]
        label = f"{family}, learning" if learns else family
        if known:
            panel.plot(
                [row["lanes"] for row in known], [row[family][name] for row in known], marker=marker, linestyle=style,
                color=color, label=label,
            )  # fmt: skip
