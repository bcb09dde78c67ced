"""A device card from pulse measurements. Here the "measurements" are simulated, so that the truth is known.

The file has one row per reading: cell, pulse (0 begins a trace), direction, and conductance in siemens or a weight.
"""

import csv
import sys
from pathlib import Path

import torch

from mep_hw.cards import load_device
from mep_hw.cells import Cells
from mep_hw.cells.staircase import draw_staircase, staircase
from mep_hw.fit import fit_card
from mep_hw.fit.cards import card_text

folder = Path(sys.argv[sys.argv.index("--out") + 1]) if "--out" in sys.argv else Path("my-cell")
folder.mkdir(parents=True, exist_ok=True)

torch.set_num_threads(1)
count = 5
truth = load_device("ecram")
cells = Cells(truth, (count,), torch.Generator().manual_seed(0), torch.float64)
one, none = torch.ones(count, dtype=torch.int64), torch.zeros(count, dtype=torch.int64)
with (folder / "pulses.csv").open("w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["cell", "pulse", "direction", "weight"])
    table.writerows([cell, 0, "start", float(cells.weights[cell])] for cell in range(count))
    for pulse in range(1, 2401):
        up = pulse <= 1200
        cells.pulse(*((one, none) if up else (none, one)))
        kind = "up" if up else "down"
        table.writerows([cell, pulse, kind, float(cells.weights[cell])] for cell in range(count))

fitted = fit_card(folder / "pulses.csv", "linear-step", "my-cell", simulated=True)
for row in fitted.report["parameters"]:
    print(row["name"], row["value"], "+-", row["error"], row["unit"])
(folder / "card.yaml").write_bytes(card_text(fitted.card))
card = load_device(folder / "card.yaml")  # what `mep-hw devices fit` writes, beside a picture of data and fit
(folder / "staircase.png").write_bytes(draw_staircase(card, staircase(card)))

error = fitted.report["parameters"][0]["error"]
print(f"dw_min true {truth.dw_min.value}, fitted {card.dw_min.value}, standard error {error:.2g}")
