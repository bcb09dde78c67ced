"""One run in two processes of this machine, each with half of every batch, and in one: the same up to rounding."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import torch

import mep_hw
from mep_hw.cards import load_backend
from mep_hw.cards.changed import changed
from mep_hw.distributed import ALONE, Group, in_job, join


def train(checkpoint: Path, group: Group = ALONE) -> mep_hw.Run:
    double = changed(load_backend("cpu"), {"compute.dtype": "float64"})  # in float32 training amplifies rounding
    model = mep_hw.mlp(64, 24, 10, seed=1, dtype=torch.float64)
    return mep_hw.train(model, backend=double, rule="dion", rank=6, epochs=4, checkpoint=checkpoint, group=group)


def compare(folder: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([*torchrun, __file__, str(folder)], check=True)
    two, one = mep_hw.load(folder / "two"), train(folder / "one").model
    accuracies = [mep_hw.evaluate(model).accuracy for model in (two, one)]
    print("test accuracy in two processes {:.3f} in one {:.3f}".format(*accuracies))
    theirs = two.tensors()
    largest = max(float((value - theirs[name]).abs().max()) for name, value in one.tensors().items())
    print(f"largest difference of a weight {largest:.1e}")


if in_job():  # this is one of the two
    train(Path(sys.argv[1]) / "two", join())
else:
    with tempfile.TemporaryDirectory() as made:
        compare(Path(made))
