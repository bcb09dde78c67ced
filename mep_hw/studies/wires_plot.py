"""The picture of the study of wires: one map per kind of cells and approximation."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from mep_hw.array.wires import VALID_LOAD
from mep_hw.files import write_atomic
from mep_hw.pictures import png
from mep_hw.studies.wires import APPROXIMATIONS, KINDS

TITLES = {"ideal": "wires ignored", "first_order": "first order", "lines": "lines"}


def plot_wires(table: dict[str, Any], path: Path) -> None:
    """Error in per cent over size and resistance times largest conductance; bold inside of the valid range."""
    from matplotlib.figure import Figure  # slow to import, and not needed for the numbers

    sizes, products = table["settings"]["sizes"], table["settings"]["ohm_siemens"]
    found = {(r["cells"], r["size"], r["ohm_siemens"]): r for r in table["rows"]}
    figure = Figure(figsize=(16, 3 + 1.0 * len(sizes)), layout="constrained")
    axes = figure.subplots(len(KINDS), len(APPROXIMATIONS), sharex=True, sharey=True, squeeze=False)
    for across, kind in zip(axes, KINDS, strict=True):
        for panel, name in zip(across, APPROXIMATIONS, strict=True):
            errors = [[found[kind, size, product][name] for product in products] for size in sizes]
            shades = [[math.log10(min(max(error, 1e-5), 1)) for error in row] for row in errors]
            panel.imshow(shades, origin="lower", aspect="auto", cmap="RdYlGn_r", vmin=-5, vmax=0)
            for y, size in enumerate(sizes):
                for x, product in enumerate(products):
                    valid = found[kind, size, product]["load"] <= VALID_LOAD.get(name, 0)
                    text = f"{100 * errors[y][x]:.2g}"
                    panel.text(x, y, text, ha="center", va="center", fontsize=7, weight="bold" if valid else "normal")
            panel.set_title(f"{TITLES[name]}, cells {kind}: error in %", fontsize=9)
            panel.set_xticks(range(len(products)), [f"{product:g}" for product in products], fontsize=7)
            panel.set_yticks(range(len(sizes)), [str(size) for size in sizes], fontsize=7)
    for panel in axes[-1]:
        panel.set_xlabel("ohm per segment x largest conductance")
    for panel in axes[:, 0]:
        panel.set_ylabel("lines")
    write_atomic(path, png(figure, dpi=110))
