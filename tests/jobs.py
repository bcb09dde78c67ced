"""What the processes of a test job run, started by `torchrun` (see tests/test_distributed.py), and small runs for them.

jobs.py runs FOLDER NAME ...      train each named case and leave what came of it in FOLDER
jobs.py killed RANK EPOCH ...     `mep-hw ...`, with one process killing itself in the middle of an epoch
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from helpers import card

import mep_hw
from mep_hw import scoring
from mep_hw.cli import main
from mep_hw.distributed import ALONE, Group, join
from mep_hw.errors import InputError
from mep_hw.files import write_tensors
from mep_hw.training.loop import StepInfo

# Five samples a batch are ragged in two and in three processes; the last batch of 41 has one, which leaves others none.
SAMPLES, BATCH = 41, 5
CASES: dict[str, dict[str, Any]] = {
    "sgd": {"rule": "sgd", "lr": 0.05, "momentum": 0.5, "validation": 0.2, "label_smoothing": 0.1},
    "plain": {"rule": "sgd", "lr": 0.05, "momentum": 0.0, "estimator": "one_sided", "centre": True},
    "adam": {"rule": "adam", "lr": 0.01, "estimator": "richardson"},
    "muon": {"rule": "muon", "lr": 0.01, "control": True},
    "dion": {"rule": "dion", "lr": 0.01, "rank": 3, "weight_decay": 0.01, "spectral_bound": 0.5},
    "forgetful": {"rule": "dion", "lr": 0.01, "rank": 2, "error_feedback": False},
    "clipped": {"rule": "dion", "lr": 0.01, "rank": 2, "clip": 0.01},
    "natural": {"rule": "natural", "lr": 0.01},
    "hebbian": {"rule": "hebbian", "lr": 0.01},
    "contour": {"rule": "sgd", "lr": 0.05, "estimator": "holomorphic", "activation": "sigmoid"},
    "targets": {"rule": "adam", "lr": 0.01, "real": True, "backend": "reference"},
    "registers": {"rule": "adam", "lr": 0.01, "registers": True},  # changes are rounded at random
    "conv": {"rule": "dion", "lr": 0.01, "rank": 2, "conv": True},
    "conv-natural": {"rule": "natural", "lr": 0.01, "conv": True},
}
FAULTS = ("seeds", "drift", "samples")  # processes that do not agree


def trained(name: str, group: Group = ALONE, fault: str = "") -> mep_hw.Run:
    """Two epochs of a case, in float64 so that only rounding differs."""
    options = {"backend": "cpu"} | CASES[name]
    conv, real, activation, coarse = (options.pop(k, None) for k in ("conv", "real", "activation", "registers"))
    generator = torch.Generator().manual_seed(7 + (group.rank if fault == "samples" else 0))
    x = torch.rand(SAMPLES + 20, 1, 6, 6, generator=generator, dtype=torch.float64)
    y = torch.randint(3, (len(x),), generator=generator)
    if real:
        y = torch.rand(len(x), 3, generator=generator)
    if conv:
        model = mep_hw.convnet((1, 6, 6), (4,), kernel=3, pool="max", outputs=3, seed=1, dtype=torch.float64)
    else:
        model = mep_hw.mlp(36, 40, 30, 3, seed=1, activation=activation or "hard_sigmoid", dtype=torch.float64)
        x = x.flatten(1)

    def drift(info: StepInfo) -> None:
        if fault == "drift" and group.rank == 1 and info.step == 2:
            weights = info.machine.read(0)
            weights[0, 0] = torch.nextafter(weights[0, 0], weights.new_tensor(9.0))  # by the last bit
            info.machine.write(0, weights)

    registers = {"bits": 12, "step": 1 / 512} if coarse else None
    backend = card(options.pop("backend"), compute__dtype="float64", registers=registers)
    return mep_hw.train(
        model, ((x[:SAMPLES], y[:SAMPLES]), (x[SAMPLES:], y[SAMPLES:])), backend=backend, epochs=2, batch_size=BATCH,
        seed=group.rank if fault == "seeds" else 3, group=group, on_step=drift, **options,
    )  # fmt: skip


def told(run: mep_hw.Run) -> dict[str, Any]:
    """All that a run reports, but for times."""
    history = [{key: value for key, value in row.items() if key != "seconds"} for row in run.history]
    return run.as_dict() | {"seconds": 0, "history": history}


def runs(folder: Path, names: list[str]) -> None:
    group = join()
    scoring.BATCH = 7  # so that there are several, for processes to take turns
    for name in names:
        if name in FAULTS:
            try:
                trained("sgd", group, name)
            except InputError as error:
                (folder / f"{name}-{group.rank}.txt").write_text(str(error))
            continue
        run = trained(name, group)
        if group.rank == 0:
            write_tensors(folder / name, run.model.tensors(), {"told": json.dumps(told(run))})


def killed(rank: int, epoch: int, line: list[str]) -> None:
    real = mep_hw.train

    def train(*args: Any, group: Group, **options: Any) -> mep_hw.Run:
        def watch(info: StepInfo) -> None:
            if group.rank == rank and info.epoch == epoch and info.step == 2:
                os.kill(os.getpid(), signal.SIGKILL)

        return real(*args, group=group, on_step=watch, **options)

    mep_hw.train = train
    main(line)


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1] == "runs":
        runs(Path(sys.argv[2]), sys.argv[3:])
    else:
        killed(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
