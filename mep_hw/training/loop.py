"""The loop over epochs: shuffle, step, watch for divergence, evaluate, checkpoint.

Divergence is judged on the training loss. A loss that is not finite, or an epoch whose mean is several times that of a
read-out that always answers zero, stops the run; the checkpoint of the last good epoch stays.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mep_hw.data import Data, one_hot
from mep_hw.errors import DivergenceError, Notice
from mep_hw.evaluate import accuracy
from mep_hw.schedule import Cost
from mep_hw.settings import Settings
from mep_hw.substrates.base import Substrate
from mep_hw.training import checkpoint as checkpoints
from mep_hw.training.run import Run
from mep_hw.training.step import TrainingStep, batches, correct

HOPELESS = 4.0  # times the loss of a read-out that answers zero
LOOK_EVERY = 5  # steps between two looks at the loss, each of which waits for the device


@dataclass(frozen=True)
class StepInfo:
    """What `on_step` is told after every step: position, share of the full learning rate, mean loss and free sweeps.

    cost: of all changes of weights so far, without those of biases.
    machine: as the step left it; its `store` brings weights and biases into the model, to look at.
    """

    epoch: int
    step: int
    steps: int
    lr_factor: float
    loss: float
    free_sweeps: float
    cost: Cost
    machine: Substrate


OnStep = Callable[[StepInfo], None]


@dataclass(frozen=True)
class Samples:
    """Inputs, targets for the nudge, and labels (or targets) to score against, in the substrate's format."""

    x: Tensor
    target: Tensor
    y: Tensor

    @classmethod
    def of(cls, x: Tensor, y: Tensor, data: Data, step: TrainingStep, smoothing: float = 0.0) -> Samples:
        place, dtype = step.substrate.torch_device, step.substrate.dtype
        target = one_hot(y, data.classes, dtype) if data.labelled else y.to(dtype)
        if smoothing:
            target = torch.lerp(target, target.mean(1, keepdim=True).expand_as(target), smoothing)
        x = step.substrate.model.centred(x.to(place, dtype))
        return cls(x, target.to(place), y.to(place))


def train_epochs(
    run: Run, step: TrainingStep, data: Data, path: Path | None, resume: bool, on_step: OnStep | None
) -> None:
    """Train from where `run` stands to `settings.epochs`, filling in its history, cost and test accuracy."""
    settings = run.settings
    best: checkpoints.Best | None = None
    if resume and path is not None and path.exists():
        best = checkpoints.restore(path, run, step)
    if settings.validation:
        data, held_x, held_y = data.split(settings.validation, settings.seed)
    else:
        held_x, held_y = data.test_x, data.test_y
    train = Samples.of(data.x, data.y, data, step, settings.label_smoothing)
    held = Samples.of(held_x, held_y, data, step)
    score = "validation_accuracy" if settings.validation else "test_accuracy"
    hopeless = HOPELESS * float(run.model.cost.loss(torch.zeros_like(train.target), train.target).mean())
    for epoch in range(len(run.history) + 1, settings.epochs + 1):
        started = time.perf_counter()
        row = _epoch(settings, step, train, epoch, hopeless, path, on_step)
        if len(held.x):
            row[score] = accuracy(step.substrate, held.x, held.y)
        row["seconds"] = time.perf_counter() - started
        run.seconds += row["seconds"]
        run.history.append(row)
        if settings.validation and (best is None or row[score] > best[0]):
            step.substrate.store()
            best = row[score], {name: value.clone() for name, value in run.model.tensors().items()}
        if path is not None:
            checkpoints.save(path, run, step, best)
    step.substrate.store()
    run.cost = step.cost
    _finish(run, step, data, best)


def schedule_factor(settings: Settings, epoch: int, progress: float) -> float:
    """Share of the full learning rate at `progress` (0 to 1) through epoch `epoch` (from 1)."""
    time = epoch - 1 + progress
    rise = min(1.0, time / settings.warmup) if settings.warmup else 1.0
    if settings.lr_schedule == "constant":
        return rise
    return rise * (1 + math.cos(math.pi * time / settings.epochs)) / 2


def _epoch(
    settings: Settings,
    step: TrainingStep,
    train: Samples,
    epoch: int,
    hopeless: float,
    path: Path | None,
    on_step: OnStep | None,
) -> dict[str, float]:
    parts = batches(len(train.x), settings.batch_size, settings.seed * 1_000_003 + epoch)
    total = torch.zeros((), dtype=torch.float64, device=train.x.device)
    hits = torch.zeros((), dtype=torch.int64, device=train.x.device)
    sweeps = torch.zeros((), dtype=torch.float64, device=train.x.device)
    factor, free, first = 0.0, None, torch.zeros_like(total)
    for number, rows in enumerate(parts):
        # The middle of the step's interval: with a warm-up the very first step would otherwise do nothing.
        factor = schedule_factor(settings, epoch, (number + 0.5) / len(parts))
        target = train.target[rows]
        free = step(train.x[rows], target, factor)
        loss = step.substrate.model.cost.loss(free.output, target)
        total += loss.sum()
        if epoch == 1 and number == 0:
            first += loss.mean()
        hits += correct(free, train.y[rows]).sum()
        sweeps += free.sweeps.sum()
        if on_step is not None:
            mean_sweeps = float(free.sweeps.double().mean())
            place, machine = (epoch, number + 1, len(parts)), step.substrate
            on_step(StepInfo(*place, factor, float(loss.mean()), mean_sweeps, step.cost, machine))
        if number % LOOK_EVERY == 0 and not math.isfinite(float(total)):
            break
    mean = float(total) / len(train.x)
    limit = max(hopeless, float(first))  # a machine with broken cells starts far off, and learns all the same
    if not math.isfinite(mean) or mean > limit:
        raise _diverged(settings, epoch, mean, limit, path)
    wires = step.substrate.wire_error()
    bound = step.hammered()
    if bound is not None and not bound[1]:
        note = f"spectral_bound: not held after epoch {epoch}: steps are too large for the outer products it may write"
        warnings.warn(note, Notice, stacklevel=2)
    row = {
        "epoch": epoch,
        "lr_factor": factor,
        "train_loss": mean,
        "train_accuracy": int(hits) / len(train.x),
        "free_sweeps": float(sweeps) / len(train.x),
        "residual": 0.0 if free is None else float(free.residual.max()),
    }
    if bound is not None:
        row["bound_directions"] = bound[0]
    if wires is not None:
        row["wire_error"] = wires
    return row


def _diverged(settings: Settings, epoch: int, loss: float, hopeless: float, path: Path | None) -> DivergenceError:
    kept = f"; the state after epoch {epoch - 1} is in {path}" if path is not None and epoch > 1 else ""
    # Continual EP feeds its own updates back through the state, with a gain of about lr |s|^2 / beta.
    nudge = "or raise" if settings.estimator == "continual" else "or lower"
    return DivergenceError(
        "train", "loss", f"{loss:.3g} in epoch {epoch}",
        rule=f"training diverged (below {hopeless:.3g} is expected)",
        fix=f"lower lr ({settings.lr}) or momentum ({settings.momentum:g}), {nudge} beta ({settings.beta:g})"
        + kept,
    )  # fmt: skip


def _finish(run: Run, step: TrainingStep, data: Data, best: checkpoints.Best | None) -> None:
    """The test accuracy that the run reports, and the weights that go with it."""
    if best is not None:
        run.model.load_tensors(best[1], "best epoch")
        for c, weights in enumerate(run.model.weights):
            step.substrate.write(c, weights)
        for layer, bias in enumerate(run.model.biases, start=1):
            if bias is not None:
                step.substrate.write_bias(layer, bias)
    if data.has_test:
        test = Samples.of(data.test_x, data.test_y, data, step)
        run.test_accuracy = accuracy(step.substrate, test.x, test.y)
