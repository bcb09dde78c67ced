"""`mep-hw train`: one training run, its record on stdout and, with --out, in files.

The folder of --out is made when training starts and removed again when nothing came to lie in it. Ctrl-C is not a
failure: the checkpoint of the last whole epoch stays, and --resume goes on from it to the same result.

Started by `torchrun`, the processes of a job train together; process 0 alone writes and reports. When one of them ends,
`torchrun` stops the others by SIGTERM, if the lost connection has not already done so.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import torch
import typer

import mep_hw
from mep_hw.cards import load_backend
from mep_hw.cli import models, output
from mep_hw.cli.options import TrainOptions, with_flags
from mep_hw.distributed import ALONE, Group, Job, join
from mep_hw.errors import InputError, Notice
from mep_hw.training.run import Run

CHECKPOINT = "checkpoint.safetensors"
INTERRUPTED = 130  # what shells expect after Ctrl-C
MODELS = {"mnist": "784-512-10"}
DEFAULT_MODEL = "64-128-10"
UNITS = {"time_s": "time (s)", "energy_j": "energy (J)", "wear_max": "wear (share of endurance)"}
OWN = {"model", "cost", "activation", "threads", "out"}  # used here; train takes the others as they are


@with_flags
def train(options: TrainOptions, as_json: bool) -> None:
    """Train a model on a backend and report its accuracy and what it cost."""
    if options.resume and options.out is None:
        raise InputError("train", "resume", True, rule="needs the folder of the run to go on", fix="give --out DIR")
    out = None if options.out is None else Path(options.out).expanduser()
    checkpoint = None if out is None else out / CHECKPOINT
    group = join(load_backend(options.backend).compute.torch_device)
    try:
        with stopped_by_torchrun(group), _removed_if_empty(out if group.rank == 0 else None):
            run = start(options, checkpoint, group)
            if out is not None and group.rank == 0:
                run.save(out)
    except KeyboardInterrupt:
        kept = checkpoint is not None and checkpoint.exists()
        note = f"; the last whole epoch is in {checkpoint}, go on with --resume" if kept else ""
        print(f"mep-hw: interrupted{note}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    if group.rank > 0:
        return
    if as_json:
        output.print_json(run.as_dict())
    else:
        _report(run, out)


def start(options: TrainOptions, checkpoint: Path | None, group: Group = ALONE) -> Run:
    """Build the model that `options` names and train it."""
    torch.set_num_threads(options.threads)
    text = options.model or MODELS.get(options.data, DEFAULT_MODEL)
    model = models.build(text, seed=options.seed, cost=options.cost, activation=options.activation)
    return mep_hw.train(model, checkpoint=checkpoint, group=group, **options.model_dump(exclude=OWN))


def _report(run: Run, out: Path | None) -> None:
    """The record as tables; what was not asked for is left out, what is not known says so."""
    result = run.as_dict()
    del result["cost"]
    output.pairs(
        (k, v) for k, v in result.items() if v is not None or k not in ("device", "control_accuracy", "control_loss")
    )
    output.line("\ncost of the weight updates")
    output.pairs((UNITS.get(name, name), value) for name, value in run.cost.as_dict().items())
    if out is not None:
        output.line(f"\nwritten to {out}: {CHECKPOINT}, run.json, history.csv, curve.png")


@contextmanager
def _removed_if_empty(folder: Path | None) -> Generator[None]:
    """On an exception, remove `folder` and those parents that were not there before, as far as they are empty."""
    absent = [] if folder is None else [path for path in (folder, *folder.parents) if not os.path.exists(path)]
    try:
        yield
    except BaseException:
        for path in absent:
            if os.path.isdir(path) and not os.listdir(path):
                path.rmdir()
        raise


@contextmanager
def stopped_by_torchrun(group: Group) -> Generator[None]:
    """Turn SIGTERM into the error of a lost process, and leave notices to process 0; nothing in a job of one."""
    if not isinstance(group, Job):
        yield
        return

    def stop(*_: object) -> None:
        raise group.lost("SIGTERM")

    before = signal.signal(signal.SIGTERM, stop)
    if group.rank > 0:
        warnings.simplefilter("ignore", Notice)
    try:
        yield
    except BaseException:
        before = signal.SIG_IGN  # it would come while the reason is being told
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
