"""Data against fit: steps over the weight, and the first trace against cells that the card describes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mep_hw.cells import Cells
from mep_hw.fit.fit import Fitted
from mep_hw.fit.readings import Floats
from mep_hw.fit.tables import Tabled, quantile
from mep_hw.pictures import png

_POINTS = 3000
_BINS = 20
_CELLS = 200
_LONGEST = 600
_COLORS = {"up": "tab:blue", "down": "tab:red"}


def draw_fit(fitted: Fitted) -> bytes:
    """A PNG: left every step with its binned mean and the fitted mean, right a trace with simulated cells."""
    figure, (left, right) = _figure(2)
    steps, model = fitted.steps, fitted.found.model
    weights = steps.before(model)
    means = model(weights, steps.up, steps.cell)
    for kind, flags in (("up", steps.up), ("down", ~steps.up)):
        color, weight, change = _COLORS[kind], weights[flags], steps.change[flags]
        _scatter(left, weight, change, color)
        edges = np.quantile(weight, np.linspace(0, 1, _BINS + 1))
        place = np.clip(np.searchsorted(edges, weight, side="right") - 1, 0, _BINS - 1)
        bins = [place == b for b in range(_BINS) if (place == b).sum() > 1]
        middle = [weight[own].mean() for own in bins]
        error = [change[own].std() / np.sqrt(own.sum()) for own in bins]
        left.errorbar(middle, [change[own].mean() for own in bins], error, fmt="o", ms=4, color=color,
                      label=f"{kind}, mean of data")  # fmt: skip
        # Of the same pulses of the same cells as the dots: cells differ, and not all come everywhere.
        fit = [means[flags][own].mean() for own in bins]
        left.plot(middle, fit, color="black", label="mean of fit" if kind == "up" else None)
    spread = float(np.quantile(np.abs(steps.change), 0.99))
    left.set(xlabel="weight", ylabel="change by one pulse", ylim=(-1.3 * spread, 1.3 * spread))
    _trace(right, fitted)
    for panel in (left, right):
        panel.legend(fontsize=8)
    figure.suptitle(f"{fitted.card.name}: {fitted.card.summary}")
    return png(figure, dpi=110)


def draw_table(tabled: Tabled) -> bytes:
    """A PNG: per direction the 10, 50 and 90 % quantiles of the table, over the raw changes where there are any."""
    figure, panels = _figure(2)
    for panel, (kind, table) in zip(panels, tabled.tables.items(), strict=True):
        if tabled.jumps is not None:
            _scatter(panel, 1e6 * tabled.jumps[kind].before, 1e6 * tabled.jumps[kind].change, _COLORS[kind])
        for share in (0.1, 0.5, 0.9):
            panel.plot(1e6 * table.conductances, 1e6 * quantile(table, share), label=f"{100 * share:g} % of the table")
        panel.set(xlabel="conductance before the pulse, uS", ylabel="change, uS", title=f"{kind} pulses")
        panel.legend(fontsize=8)
    figure.suptitle(f"{tabled.card.name}: {tabled.card.summary}")
    return png(figure, dpi=110)


def _trace(panel: Any, fitted: Fitted) -> None:
    """The first trace of the first cell, and cells of the card that start where it starts and get the same pulses."""
    readings = fitted.readings
    ends = np.flatnonzero(np.append(readings.first[1:], True)) + 1
    last = min(int(ends[0]), _LONGEST)
    trace, up = readings.weight[:last], readings.up[1:last]
    made = Cells(fitted.card, (_CELLS,), torch.Generator().manual_seed(0), torch.float64)
    made.set(torch.full((_CELLS,), float(trace[0]), dtype=torch.float64))
    one, none = torch.ones(_CELLS, dtype=torch.int64), torch.zeros(_CELLS, dtype=torch.int64)
    weights = [made.weights]
    for is_up in up:
        made.pulse(*((one, none) if is_up else (none, one)))
        weights.append(made.weights)
    simulated = torch.stack(weights).numpy()
    mean, spread, pulses = simulated.mean(axis=1), simulated.std(axis=1), np.arange(last)
    panel.fill_between(pulses, mean - spread, mean + spread, alpha=0.25, label="cells of the card: mean and sd")
    panel.plot(pulses, mean, color="black", linewidth=1)
    panel.plot(pulses, trace, ".", ms=3, color="tab:green", label=f"data, cell {readings.cells[0]}")
    panel.set(xlabel="pulse", ylabel="weight")


def _scatter(panel: Any, x: Floats, y: Floats, color: str) -> None:
    every = max(1, len(x) // _POINTS)
    panel.plot(x[::every], y[::every], ".", ms=1.5, alpha=0.25, color=color)


def _figure(panels: int) -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # slow to import, and not needed for the numbers

    figure = Figure(figsize=(6 * panels, 4.5), layout="constrained")
    return figure, figure.subplots(1, panels)
