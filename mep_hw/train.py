"""The front door: one model, one call, and the hardware of your choice underneath."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from mep_hw import estimator as estimators
from mep_hw import machine, rules
from mep_hw.cards import BackendCard, DeviceCard
from mep_hw.data import Source, as_data, check
from mep_hw.distributed import ALONE, Group
from mep_hw.errors import CheckpointError, DivergenceError, InputError, Notice
from mep_hw.files import require_writable
from mep_hw.from_torch import as_model
from mep_hw.model import Model
from mep_hw.progress import progress_bar
from mep_hw.settings import resolve
from mep_hw.training.loop import OnStep, train_epochs
from mep_hw.training.run import Run
from mep_hw.training.shares import require_sharable
from mep_hw.training.step import TrainingStep


def train(
    model: Model | nn.Sequential,
    data: Source = None,
    *,
    backend: str | Path | BackendCard = "cpu",
    device: str | Path | DeviceCard | None = None,
    rule: str | None = None,
    estimator: str = "centered",
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | Sequence[float] | None = None,
    beta: float | None = None,
    momentum: float | None = None,
    weight_decay: float | None = None,
    lr_schedule: str | None = None,
    warmup: float = 0.0,
    rank: int | None = None,
    error_feedback: bool | None = None,
    clip: float | None = None,
    bias_lr: float | None = None,
    spectral_bound: float | None = None,
    spectral_method: str = "hammer",
    minimise: str | None = None,
    centre: bool = False,
    label_smoothing: float = 0.0,
    free_sweeps: int | None = None,
    nudged_sweeps: int | None = None,
    validation: float = 0.0,
    seed: int = 0,
    control: bool = False,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    group: Group = ALONE,
    on_step: OnStep | None = None,
    progress: bool | None = None,
) -> Run:
    """Train `model` in place by equilibrium propagation on `backend` and return the record of the run.

    Args:
        model: an equilibrium model, or an `nn.Sequential` that can become one (the run's `model` holds it).
        data: None for the bundled digits, "digits", "mnist", (x, y), ((x, y), (test_x, test_y)), or DataLoaders.
        backend: a card's name or path, or the card.
        device: the same of memory cells; None takes the backend's own.
        rule, epochs, batch_size, lr, beta, momentum, weight_decay, lr_schedule: None takes the card's value.
            lr is one number or one per layer; momentum is beta1 for rule adam; the schedule is "constant" or "cosine".
            A rule other than the card's brings its own lr, momentum and weight_decay (`mep_hw.rules.DEFAULTS`).
        rank, error_feedback: of rule dion: how many directions an update has (None: a quarter of the smaller side), and
            whether what they leave out is kept for later (None: yes).
        clip: longest contrast of a coupling (Frobenius norm); longer ones are shortened to it.
        bias_lr: learning rate of the biases; None takes lr, or 0.003 for rules whose biases Adam trains.
        estimator: see `mep_hw.estimator`.
        warmup: epochs over which the learning rate rises from 0.
        spectral_bound: largest spectral norm of the couplings between hidden layers (of the read-out's where there are
            none); None does not bound them.
        spectral_method: hammer, normalise or soft_cap, see `mep_hw.rules.spectral`.
        minimise: time, energy or wear: by what the form of writing is chosen, of backends with arrays; None takes the
            card's.
        centre: subtract the mean training sample from all inputs; the model keeps it as its offset.
        label_smoothing: share of each one-hot target that is spread evenly over the classes.
        free_sweeps, nudged_sweeps: run exactly so many sweeps in that phase; None stops by the card's tolerance.
        validation: share of the training samples to choose the best epoch on; 0 reports the last epoch.
        seed: of shuffling and of everything random in the machine; the model's weights have their own.
        control: train a copy once more with its hidden weights frozen and report its accuracy and loss beside.
        checkpoint: file to write after every epoch; `resume` goes on from it if it is there, to the same result.
        group: the processes that every batch is shared out to, from `mep_hw.distributed.join`; all of them call `train`
            with the same arguments and get the same run, and process 0 writes the checkpoint.
        on_step: called with a `StepInfo` after every step.
        progress: show a progress bar on stderr; None shows it on a terminal.

    Raises:
        InputError: anything wrong with model, data, cards or settings, found before the first step.
        DivergenceError: the loss left the useful range; says what to lower.
        JobError: another process of the group has ended, or processes hold different weights.
    """
    card, device_card = machine.cards(backend, device)
    source = as_data(data)
    model = as_model(model, source.features)
    source = check(source, input_shape=model.input_shape, outputs=model.outputs)
    settings = resolve(
        card, device=None if device_card is None else device_card.name, data=source.name, model=model.name, rule=rule,
        estimator=estimator, lr=lr, epochs=epochs, batch_size=batch_size, beta=beta, momentum=momentum,
        weight_decay=weight_decay, lr_schedule=lr_schedule, warmup=warmup,
        rank=rank, error_feedback=error_feedback, clip=clip,
        bias_lr=bias_lr, spectral_bound=spectral_bound, spectral_method=spectral_method, minimise=minimise,
        centre=centre, label_smoothing=label_smoothing, free_sweeps=free_sweeps,
        nudged_sweeps=nudged_sweeps, seed=seed, validation=validation,
    )  # fmt: skip
    if settings.label_smoothing and not source.labelled:
        rule_broken, fix = "is for class labels, and these targets are real numbers", "leave it out"
        raise InputError("train", "label_smoothing", settings.label_smoothing, rule=rule_broken, fix=fix)
    how = rules.make(
        settings.rule, momentum=settings.momentum, weight_decay=settings.weight_decay, rank=settings.rank,
        error_feedback=settings.error_feedback, clip=settings.clip, group=group,
    )  # fmt: skip
    estimate = estimators.make(settings.estimator, settings.beta)
    card = machine.fixed_sweeps(card, settings.free_sweeps, settings.nudged_sweeps)
    card = machine.minimising(card, settings.minimise)
    require_sharable(group, card, settings)
    path = _checkpoint_path(checkpoint, resume, writes=group.rank == 0)
    progress = progress if group.rank == 0 else False
    initial = copy.deepcopy(model) if control else None

    def fill(run: Run, frozen: list[int], path: Path | None, watch: OnStep | None) -> None:
        with machine.build(run.model, card, device_card, settings.seed) as substrate:
            step = TrainingStep(
                substrate, estimate, how, lr=settings.lr, bias_lr=settings.bias_lr,
                bound=settings.spectral_bound, method=settings.spectral_method, frozen=frozen, group=group,
            )  # fmt: skip
            train_epochs(run, step, source, path, resume, watch)

    run = Run(model, settings)
    with progress_bar(settings, progress, on_step) as watch:
        fill(run, [], path, watch)
    if initial is not None:
        frozen = Run(initial, settings)
        try:
            with progress_bar(settings, progress, None, "control") as watch:
                fill(frozen, initial.hidden, None, watch)
        except DivergenceError as error:  # the run itself is done, and its result is kept
            warnings.warn(f"control: {error}; its accuracy is left out", Notice, stacklevel=2)
        run.control_accuracy, run.control_loss = frozen.test_accuracy, frozen.test_loss
    return run


def _checkpoint_path(checkpoint: str | Path | None, resume: bool, writes: bool) -> Path | None:
    if checkpoint is None:
        if resume:
            raise CheckpointError(
                "train", "resume", True, rule="needs a checkpoint to go on from", fix="give checkpoint=FILE"
            )
        return None
    path = Path(checkpoint)
    if writes:
        require_writable(path.parent)
    if path.exists() and not resume:
        raise CheckpointError(
            str(path), rule="already exists and would be overwritten", fix="resume it, or choose another folder"
        )
    return path
