"""The record of a training run, and the files it leaves: run.json, history.csv, curve.png."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mep_hw.files import write_atomic
from mep_hw.model import Model
from mep_hw.schedule import Cost
from mep_hw.settings import Settings


@dataclass
class Run:
    """What a run did.

    model: the trained model, the same object that was passed to `train`.
    history: one row per epoch: epoch, lr_factor (share of lr in its last step), train_loss, train_accuracy,
        bound_directions (outer products written so far by a spectral bound, by method hammer),
        wire_error (of the weights that reads see, see `Substrate.wire_error`; only where there are wires),
        test_accuracy (or validation_accuracy), free_sweeps (mean), residual (largest of the last batch), seconds.
    test_accuracy: of the last epoch, or of the epoch that was best on the validation part; None without test samples.
    control_accuracy: the same run with hidden weights frozen; None when it was not asked for.
    cost: what the machine spent on weight updates; unknown figures are None.
    """

    model: Model
    settings: Settings
    history: list[dict[str, float]] = field(default_factory=list)
    test_accuracy: float | None = None
    control_accuracy: float | None = None
    seconds: float = 0.0
    cost: Cost = field(default_factory=Cost.none)

    def as_dict(self) -> dict[str, Any]:
        """The keys that `mep-hw train --json` prints."""
        s = self.settings
        figures = {
            "backend": s.backend, "device": s.device, "rule": s.rule, "data": s.data, "model": s.model,
            "epochs": len(self.history), "seed": s.seed, "test_accuracy": self.test_accuracy,
            "control_accuracy": self.control_accuracy, "seconds": round(self.seconds, 3), "cost": self.cost.as_dict(),
        }  # fmt: skip
        wires = [row["wire_error"] for row in self.history[-1:] if "wire_error" in row]
        return figures | ({"wire_error": wires[0]} if wires else {})

    def save(self, folder: str | Path) -> None:
        """Write run.json (results, settings, history), history.csv and curve.png, each atomically."""
        folder = Path(folder)
        whole = self.as_dict() | {"settings": self.settings.model_dump(), "history": self.history}
        write_atomic(folder / "run.json", json.dumps(whole, indent=2).encode())
        table = io.StringIO(newline="")
        writer = csv.DictWriter(table, fieldnames=list(self.history[0]))
        writer.writeheader()
        writer.writerows(self.history)
        write_atomic(folder / "history.csv", table.getvalue().encode())
        self.plot(folder / "curve.png")

    def plot(self, path: str | Path) -> None:
        """Learning curves: loss on the left, errors on the right."""
        from matplotlib.figure import Figure  # slow to import, and not needed for training
        from matplotlib.ticker import MaxNLocator

        epochs = [row["epoch"] for row in self.history]
        figure = Figure(figsize=(8, 3.2), layout="constrained")
        loss, error = figure.subplots(1, 2)
        loss.plot(epochs, [row["train_loss"] for row in self.history], color="#1f5fa8")
        loss.set(xlabel="epoch", ylabel="training loss", yscale="log")
        names = [n for n in ("train_accuracy", "validation_accuracy", "test_accuracy") if n in self.history[0]]
        for name in names:
            percent = [100 * (1 - row[name]) for row in self.history]
            error.plot(epochs, percent, label=name.split("_")[0])
        if self.control_accuracy is not None:
            error.axhline(
                100 * (1 - self.control_accuracy), color="grey", linestyle="--", label="hidden weights frozen"
            )
        error.set(xlabel="epoch", ylabel="error (%)", ylim=(0, None))
        error.legend(frameon=False)
        for axes in (loss, error):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.suptitle(
            f"{self.settings.model}, {self.settings.data}, {self.settings.backend}, seed {self.settings.seed}"
        )
        image = io.BytesIO()
        figure.savefig(image, format="png", dpi=150)
        write_atomic(path, image.getvalue())
