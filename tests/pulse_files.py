"""Pulse measurements made with our own cells: files of known origin for the fits."""

from __future__ import annotations

from pathlib import Path

import torch

from mep_hw.cards import DeviceCard
from mep_hw.cells import Cells

SIEMENS = (5e-6, 30e-6)  # conductances of the weights -1 and 1


def write_pulses(
    path: Path, card: DeviceCard, cells: int, train: int, cycles: int, siemens: tuple[float, float] | None = None,
    seed: int = 0,
) -> Path:  # fmt: skip
    """A CSV of `cycles` times `train` up pulses and `train` down pulses on each cell, from the lower bound."""
    made = Cells(card, (cells,), torch.Generator().manual_seed(seed), torch.float64)
    made.set(made.bounds[0])
    one, none = torch.ones(cells, dtype=torch.int64), torch.zeros(cells, dtype=torch.int64)
    rows = [(0, "start", made.weights)]
    for number in range(2 * train * cycles):
        up = number // train % 2 == 0
        made.pulse_one_by_one(*((one, none) if up else (none, one)))
        rows.append((number + 1, "up" if up else "down", made.weights))
    column = "weight" if siemens is None else "conductance"
    lines = [f"cell,pulse,direction,{column}"]
    for cell in range(cells):
        for pulse, kind, weights in rows:
            value = float(weights[cell])
            if siemens is not None:
                value = siemens[0] + (siemens[1] - siemens[0]) * (value + 1) / 2
            lines.append(f"c{cell},{pulse},{kind},{value!r}")
    path.write_text("\n".join(lines) + "\n")
    return path
