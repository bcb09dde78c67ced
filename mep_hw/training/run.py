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
from mep_hw.pictures import png
from mep_hw.schedule import Cost
from mep_hw.settings import Settings

Row = dict[str, float | None]  # of the history


@dataclass
class Run:
    """What a run did.

    model: the trained model, the same object that was passed to `train`.
    history: one row per epoch: epoch, lr_factor (share of lr in its last step), train_loss, train_accuracy,
        bound_directions (outer products written so far by a spectral bound, by method hammer),
        numbers that the machine remarks on, such as wire_error where wires are modelled,
        test_accuracy and test_loss (or those of validation), free_sweeps (mean), residual (largest of the last batch),
        seconds. Accuracies are None where targets are real numbers.
    test_accuracy, test_loss: of the last epoch, or of the epoch that was best on the validation part (by its accuracy,
        else by its loss); None without test samples.
    control_accuracy, control_loss: the same run with hidden weights frozen; None when it was not asked for.
    cost: what the machine spent on weight updates; unknown figures are None.
    remarks: what the machine says of itself at the end, see `Substrate.remarks`.
    """

    model: Model
    settings: Settings
    history: list[Row] = field(default_factory=list)
    test_accuracy: float | None = None
    control_accuracy: float | None = None
    test_loss: float | None = None
    control_loss: float | None = None
    seconds: float = 0.0
    cost: Cost = field(default_factory=Cost.none)
    remarks: dict[str, float | str] = field(default_factory=dict[str, float | str])

    def as_dict(self) -> dict[str, Any]:
        """The keys that `mep-hw train --json` prints."""
        s = self.settings
        figures: dict[str, Any] = {
            "backend": s.backend, "device": s.device, "rule": s.rule, "data": s.data, "model": s.model,
            "epochs": len(self.history), "seed": s.seed, "test_accuracy": self.test_accuracy,
            "control_accuracy": self.control_accuracy, "test_loss": self.test_loss, "control_loss": self.control_loss,
            "seconds": round(self.seconds, 3), "cost": self.cost.as_dict(),
        }  # fmt: skip
        return figures | self.remarks

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
        """Learning curves: losses on the left and, where there are labels, errors on the right."""
        from matplotlib.figure import Figure  # slow to import, and not needed for training
        from matplotlib.ticker import MaxNLocator

        epochs = [row["epoch"] for row in self.history]
        figure = Figure(figsize=(8, 3.2), layout="constrained")
        losses, errors = self._curves("loss"), self._curves("accuracy")
        both = figure.subplots(1, 1 + bool(errors), squeeze=False)[0]
        for name, values in losses.items():
            both[0].plot(epochs, values, label=name)
        both[0].set(xlabel="epoch", ylabel="loss", yscale="log")
        for name, values in errors.items():
            both[-1].plot(epochs, [100 * (1 - value) for value in values], label=name)
        if errors:
            both[1].set(xlabel="epoch", ylabel="error (%)", ylim=(0, None))
            if self.control_accuracy is not None:
                frozen = 100 * (1 - self.control_accuracy)
                both[1].axhline(frozen, color="grey", linestyle="--", label="hidden weights frozen")
        for axes in both:
            axes.legend(frameon=False)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.suptitle(
            f"{self.settings.model}, {self.settings.data}, {self.settings.backend}, seed {self.settings.seed}"
        )
        write_atomic(path, png(figure, dpi=150))

    def _curves(self, figure: str) -> dict[str, list[float]]:
        """`figure` over the epochs, of each part of the data that has it."""
        found: dict[str, list[float]] = {}
        for part in ("train", "validation", "test"):
            values = [row.get(f"{part}_{figure}") for row in self.history]
            if None not in values:
                found[part] = [value for value in values if value is not None]
        return found
