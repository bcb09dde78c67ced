"""A schedule as a picture: pulses of every weight, how many weights get how many, and how often lines fire."""

from __future__ import annotations

import numpy as np

from mep_hw.explain.firing import Firing
from mep_hw.pictures import png

_BARS = 50


def draw(found: Firing, title: str) -> bytes:
    """A PNG with three panels; the map shows up minus down pulses, the histogram both together."""
    from matplotlib.figure import Figure  # slow to import, and not needed for the numbers

    net, both = (found.up - found.down).numpy(), (found.up + found.down).flatten().numpy()
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    most = max(int(abs(net).max()), 1)
    image = left.imshow(net, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto", interpolation="nearest")
    figure.colorbar(image, ax=left, label="up minus down pulses")
    left.set_xlabel("word line (input)")
    left.set_ylabel("bit line (output)")
    left.set_title("pulses of weights")
    width = int(both.max()) // _BARS + 1  # every bar stands for as many whole numbers as any other
    middle.hist(both, bins=np.arange(-0.5, both.max() + width, width).tolist(), color="grey")
    middle.axvline(float(both.mean()), color="black", linewidth=1, label=f"mean {both.mean():.3g}")
    middle.set_yscale("log")
    middle.set_xlabel("pulses of one weight, up and down")
    middle.set_ylabel("weights")
    middle.legend(fontsize=8)
    middle.set_title("how many get how many")
    for lines, name in ((found.words, "word lines"), (found.bits, "bit lines")):
        right.plot(lines.sort(descending=True).values.numpy(), label=name, drawstyle="steps-mid")
    right.set_ylim(bottom=0)
    right.set_xlabel("line, the busiest first")
    right.set_ylabel("pulses of the line")
    right.legend(fontsize=8)
    right.set_title("pulses of lines")
    figure.suptitle(title)
    return png(figure, dpi=110)
