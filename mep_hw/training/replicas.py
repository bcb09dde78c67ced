"""Do the processes of a job still hold the same? Asked before the first epoch and after every one.

Nothing but contrasts travels between processes, so weights stay equal only as long as all start from the same and
compute the same from the same sums. A checksum of every bit costs one pass over the state per epoch; it finds processes
that were started with other settings, data or checkpoints, and processors that round differently. It does not say which
process is wrong.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import torch
from torch import Tensor

from mep_hw.errors import JobError
from mep_hw.training.run import Run
from mep_hw.training.step import TrainingStep


def check(when: str, run: Run, step: TrainingStep, data: Iterable[Tensor] = ()) -> None:
    """Compare settings, number of epochs, weights, random state, memories and `data` over the processes of the job.

    Raises:
        JobError: they are not the same, `when` says at what time.
    """
    group = step.group
    if group.size == 1:
        return
    told = f"{run.settings.model_dump_json()} {run.model.spec.as_dict()} {len(run.history)}"
    memories = [*step.memory.values(), *(owed.tensors() for owed in step.owed.values())]
    parts = {
        "settings or epochs done": zlib.crc32(told.encode()),
        "training samples": _checksum(data),
        "weights or random state": _checksum(step.substrate.snapshot().values()),
        "memories of the rule": _checksum(value for memory in memories for value in memory.values()),
    }
    mine = torch.tensor(list(parts.values()), device=step.substrate.torch_device)
    high, low = group.largest(torch.cat([mine, -mine])).chunk(2)
    for name, same in zip(parts, (high == -low).tolist(), strict=True):
        if not same:
            raise JobError(
                f"process {group.rank} of {group.size}", rule=f"the processes of this job {when} with different {name}",
                fix="use the same command line, files and kind of processor for all",
            )  # fmt: skip


def _checksum(tensors: Iterable[Tensor]) -> int:
    total = 0
    for value in tensors:
        content = value.detach().cpu().contiguous().view(-1).view(torch.uint8)
        total = zlib.crc32(content.numpy().data, total)
    return total
