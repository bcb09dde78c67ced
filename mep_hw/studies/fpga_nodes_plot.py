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
FAMILIES = {"xcup": (BLUE, 9), "ecp5": (RED, 4)}  # colour, size of markers: equal counts stay visible
Row = dict[str, Any]


def plot_nodes(table: dict[str, Any], path: Path) -> None:
    """Write the picture of a study's `table`; what was not run is left out. Cells of learning nodes are crosses."""
    from matplotlib.figure import Figure  # slow to import, and not needed for the numbers
    from matplotlib.ticker import StrMethodFormatter

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
    lut, ff, blocks = panels[1]
    for family in FAMILIES:
        _cells(lut, table["rows"], family, ("lut",))
        _cells(ff, table["rows"], family, ("ff",))
        _cells(blocks, table["rows"], family, ("dsp",), "multipliers")
        _cells(blocks, table["rows"], family, ("bram18", "bram36", "bram36"), "block RAM, 18 Kbit", ":")
    for panel, title in ((lut, "LUTs, without those of memories"), (ff, "Flip-flops"), (blocks, "Blocks")):
        panel.set(ylabel="cells", title=title)
        panel.set_ylim(bottom=0)
    for panel in (time, rate):
        panel.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        panel.yaxis.set_minor_formatter(StrMethodFormatter("{x:g}"))
        panel.tick_params(axis="y", which="minor", labelsize=7)
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


def _cells(
    panel: Axes, rows: Sequence[Row], family: str, names: Sequence[str], what: str = "", style: str = "-"
) -> None:
    """The sum of the counts of `names`; learning nodes have a label only where nothing else has to be told apart."""
    color, size = FAMILIES[family]
    for learns, marker, line in ((False, "o", style), (True, "x", "")):
        known = [row for row in rows if row[family] is not None and row["learning"] == learns]
        label = ", ".join(word for word in (family, what, "learning" * learns) if word)
        if known:
            panel.plot(
                [row["lanes"] for row in known], [sum(row[family][name] for name in names) for row in known],
                marker=marker, markersize=size, fillstyle="none", linestyle=line, color=color,
                label=None if what and learns else label,
            )  # fmt: skip
