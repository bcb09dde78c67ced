"""The loop over epochs: shuffle, step, watch for divergence, evaluate, checkpoint.

Divergence is judged on the training loss. A loss that is not finite, or an epoch whose mean is several times that of a
read-out that always answers zero, stops the run; the checkpoint of the last good epoch stays.

In a job of several processes each settles its share of every batch (`mep_hw.training.shares`); all see the same sums
and decide alike, and process 0 alone writes.

Where the machine is a GPU the host runs ahead of it and waits only when it looks: every `LOOK_EVERY_AWAY` steps, at the
end of an epoch, and whenever somebody asks a `StepInfo` for a number.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from mep_hw.data import Data
from mep_hw.errors import DivergenceError, JobError, Notice
from mep_hw.schedule import Cost
from mep_hw.scoring import Samples, batches, correct, score
from mep_hw.settings import Settings
from mep_hw.substrates.base import Substrate
from mep_hw.training import checkpoint as checkpoints
from mep_hw.training import replicas
from mep_hw.training.run import Row, Run
from mep_hw.training.shares import Share
from mep_hw.training.step import TrainingStep

HOPELESS = 4.0  # times the loss of a read-out that answers zero
LOOK_EVERY = 5  # steps between two looks at the loss and at whether all is finite
LOOK_EVERY_AWAY = 50  # the same on another device than the CPU, for which a look has to wait


@dataclass(frozen=True)
class StepInfo:
    """What `on_step` is told after every step: position, share of the full learning rate, mean loss and free sweeps.

    The last two are numbers that the device may still be working on; who reads them waits for it.

    losses, sweeps: of each sample of the batch, (batch,); in a job of several processes, of those settled by this one.
    cost: of all changes of weights so far, without those of biases.
    machine: as the step left it; its `store` brings weights and biases into the model, to look at.
    """

    epoch: int
    step: int
    steps: int
    lr_factor: float
    losses: Tensor = field(repr=False)
    sweeps: Tensor = field(repr=False)
    cost: Cost
    machine: Substrate

    @cached_property
    def loss(self) -> float:
        return float(self.losses.mean())

    @cached_property
    def free_sweeps(self) -> float:
        return float(self.sweeps.double().mean())


OnStep = Callable[[StepInfo], None]


def train_epochs(
    run: Run, step: TrainingStep, data: Data, path: Path | None, resume: bool, on_step: OnStep | None
) -> None:
    """Train from where `run` stands to `settings.epochs`, filling in its history, cost and test results.

    Raises:
        DivergenceError: the loss left the useful range.
        JobError: another process has ended, or processes hold different weights.
    """
    try:
        _train_epochs(run, step, data, path, resume, on_step)
    except JobError as error:
        if path is None or not path.exists():
            raise
        kept = f"{error.fix} with resume; the last whole epoch is in {path}"
        raise JobError(error.where, rule=error.rule, fix=kept) from error


def _train_epochs(
    run: Run, step: TrainingStep, data: Data, path: Path | None, resume: bool, on_step: OnStep | None
) -> None:
    settings, machine, group = run.settings, step.substrate, step.group
    mean = data.x.mean(0)
    part, held_x, held_y = "test", data.test_x, data.test_y
    if settings.validation:
        part = "validation"
        data, held_x, held_y = data.split(settings.validation, settings.seed)
    best: checkpoints.Best | None = None
    if resume and path is not None and path.exists():
        best = checkpoints.restore(path, run, step)
    elif settings.centre:  # now that nothing is refused any more
        run.model.offset = mean
    train = Samples.of(data.x, data.y, data, machine, settings.label_smoothing)
    held = Samples.of(held_x, held_y, data, machine)
    replicas.check("start", run, step, [train.x, train.target])
    hopeless = HOPELESS * float(run.model.loss.of(torch.zeros_like(train.target), train.target).mean())
    for epoch in range(len(run.history) + 1, settings.epochs + 1):
        started = time.perf_counter()
        row = _epoch(settings, step, train, epoch, hopeless, path, on_step)
        step.together()
        replicas.check(f"went through epoch {epoch}, and end", run, step)
        found = score(machine, held, group) if len(held.x) else None
        if found is not None:
            row |= {f"{part}_accuracy": found.accuracy, f"{part}_loss": found.loss}
        seconds = time.perf_counter() - started
        run.seconds += seconds
        run.history.append(row | {"seconds": seconds})
        if settings.validation and found is not None and (best is None or found.merit > best[0]):
            machine.store()
            best = found.merit, {name: value.clone() for name, value in run.model.tensors().items()}
        if path is not None and group.rank == 0:
            checkpoints.save(path, run, step, best)
    machine.store()
    run.cost, run.remarks = step.cost, machine.remarks()
    _finish(run, step, data, best)


def lr_factor(settings: Settings, epoch: int, progress: float) -> float:
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
) -> Row:
    parts = batches(len(train.x), settings.batch_size, settings.seed * 1_000_003 + epoch, train.x.device)
    every = LOOK_EVERY if step.finite.at_once else LOOK_EVERY_AWAY
    total = torch.zeros((), dtype=torch.float64, device=train.x.device)
    hits, sweeps, first = torch.zeros_like(total), torch.zeros_like(total), torch.zeros_like(total)
    factor, free = 0.0, None
    for number, rows in enumerate(parts):
        # The middle of the step's interval: with a warm-up the very first step would otherwise do nothing.
        factor = lr_factor(settings, epoch, (number + 0.5) / len(parts))
        share = Share.of(step.group, len(rows))
        own, mine = slice(share.own), share.rows(rows)
        target = train.target[mine]
        free = step(train.x[mine], target, factor, share)
        loss = step.substrate.model.loss.of(free.output, target)
        total += loss[own].sum()
        if epoch == 1 and number == 0:
            first += loss[own].sum() / len(rows)
        if train.labels is not None:
            hits += correct(free, train.labels[mine])[own].sum()
        sweeps += free.sweeps[own].sum()
        if on_step is not None:
            place, machine = (epoch, number + 1, len(parts)), step.substrate
            on_step(StepInfo(*place, factor, loss, free.sweeps, step.cost, machine))
        if number % every == 0:
            step.finite.look(_kept(epoch, path))
            if not math.isfinite(float(step.group.sum(total))):
                break
    step.finite.look(_kept(epoch, path))
    total, first, hits, sweeps = step.group.sum(torch.stack([total, first, hits, sweeps]))
    mean = float(total) / len(train.x)
    limit = max(hopeless, float(first))  # a machine with broken cells starts far off, and learns all the same
    if not math.isfinite(mean) or mean > limit:
        raise _diverged(settings, epoch, mean, limit, path)
    bound = step.hammered()
    if bound is not None and not bound[1]:
        note = f"spectral_bound: not held after epoch {epoch}: steps are too large for the outer products it may write"
        warnings.warn(note, Notice, stacklevel=2)
    row: Row = {
        "epoch": epoch,
        "lr_factor": factor,
        "train_loss": mean,
        "train_accuracy": None if train.labels is None else int(hits) / len(train.x),
        "free_sweeps": float(sweeps) / len(train.x),
        "residual": 0.0 if free is None else float(step.group.largest(free.residual.max())),
    }
    if bound is not None:
        row["bound_directions"] = bound[0]
    return row | {name: told for name, told in step.substrate.remarks().items() if not isinstance(told, str)}


def _kept(epoch: int, path: Path | None) -> str:
    """What there is to go back to when epoch `epoch` fails."""
    return f"; the state after epoch {epoch - 1} is in {path}" if path is not None and epoch > 1 else ""


def _diverged(settings: Settings, epoch: int, loss: float, hopeless: float, path: Path | None) -> DivergenceError:
    # Continual EP feeds its own updates back through the state, with a gain of about lr |s|^2 / beta.
    nudge = "or raise" if settings.estimator == "continual" else "or lower"
    return DivergenceError(
        "train", "loss", f"{loss:.3g} in epoch {epoch}",
        rule=f"training diverged (below {hopeless:.3g} is expected)",
        fix=f"lower lr ({settings.lr}) or momentum ({settings.momentum:g}), {nudge} beta ({settings.beta:g})"
        + _kept(epoch, path),
    )  # fmt: skip


def _finish(run: Run, step: TrainingStep, data: Data, best: checkpoints.Best | None) -> None:
    """The test results that the run reports, and the weights that go with them."""
    if best is not None:
        run.model.load_tensors(best[1], "best epoch")
        for c, weights in enumerate(run.model.weights):
            step.substrate.write(c, weights)
        for layer, bias in enumerate(run.model.biases, start=1):
            if bias is not None:
                step.substrate.write_bias(layer, bias)
    if data.has_test:
        found = score(step.substrate, Samples.of(data.test_x, data.test_y, data, step.substrate), step.group)
        run.test_accuracy, run.test_loss = found.accuracy, found.loss
