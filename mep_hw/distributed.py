"""One training job in several processes, as `torchrun` starts them: who am I, and sums over all.

Every process runs the same program. `join` reads which of them it is from the environment that `torchrun` sets, and
returns a `Group`; outside `torchrun`, or with a single process, that is `ALONE`, whose sums are what went in, so
nobody has to ask how many there are. Sums travel by torch.distributed: gloo between CPUs, nccl between GPUs.

All processes have to make the same calls in the same order, or they wait for one another until `TIMEOUT`. All of them
receive the same bits from a sum (both libraries add every number up in one place and pass it on); what each then
computes from it is the same only on processors of one kind.
"""

from __future__ import annotations

import atexit
import os
import re
from collections.abc import Callable, Sequence
from datetime import timedelta

import torch
from torch import Tensor, distributed

from mep_hw.errors import JobError

LIBRARIES = {"cpu": "gloo", "cuda": "nccl"}
TIMEOUT = timedelta(minutes=10)  # longest wait for the others; evaluation and the first start need some of it
NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK")


class Group:
    """The processes of one job; this class itself is a job of one.

    rank: number of this process, from 0; process 0 alone writes files and reports.
    size: how many there are.
    place: kind of torch device whose tensors are summed; None: of any.

    Raises:
        JobError: from every sum, when another process has ended or does not answer.
    """

    rank = 0
    size = 1
    place: str | None = None

    def sum(self, value: Tensor) -> Tensor:
        """Sum over processes; a new tensor, or with one process `value` itself."""
        return value

    def mean(self, value: Tensor) -> Tensor:
        """Mean over processes."""
        return value

    def largest(self, value: Tensor) -> Tensor:
        """Entrywise maximum over processes."""
        return value

    def gather(self, rows: Tensor, counts: Sequence[int]) -> Tensor:
        """The rows of all processes, (sum of counts, ...), in the order of their numbers; process i has counts[i]."""
        return rows


ALONE = Group()


class Job(Group):
    """Several processes. Tensors that are summed have the same shape and format in all of them."""

    def __init__(self, rank: int, size: int, place: str) -> None:
        self.rank, self.size, self.place = rank, size, place

    def sum(self, value: Tensor) -> Tensor:
        return self._reduced(value, distributed.ReduceOp.SUM)

    def mean(self, value: Tensor) -> Tensor:
        return self.sum(value).div_(self.size)

    def largest(self, value: Tensor) -> Tensor:
        return self._reduced(value, distributed.ReduceOp.MAX)

    def gather(self, rows: Tensor, counts: Sequence[int]) -> Tensor:
        padded = rows.new_zeros(max(counts), *rows.shape[1:])  # gloo wants the same shape from all
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in counts]
        self._call(distributed.all_gather, parts, padded)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    def _reduced(self, value: Tensor, how: distributed.ReduceOp.RedOpType) -> Tensor:
        total = value.clone(memory_format=torch.contiguous_format)
        self._call(distributed.all_reduce, total, how)
        return total

    def _call(self, collective: Callable[..., object], *given: object) -> None:
        try:
            collective(*given)
        except RuntimeError as error:  # what torch raises for a lost connection, a timeout, an aborted group
            raise self.lost(str(error)) from error

    def lost(self, reason: str) -> JobError:
        """What to raise when the others cannot be reached any more."""
        first = re.sub(r"^\[\S+\] ", "", reason.strip()).partition("\n")[0].partition(". ")[0]  # without torch's file
        return JobError(
            f"process {self.rank} of {self.size}", fix="start the job again",
            rule=f"another process of this job ended or does not answer ({first})",
        )  # fmt: skip


def join(torch_device: str = "cpu") -> Group:
    """The job that this process is part of: that of `torchrun`, or one of its own.

    Call it once; a process stays in its job until it ends.

    Args:
        torch_device: where the tensors are that the job will sum, the card's `compute.torch_device`: cpu, or cuda for
            the GPU with the number of this process on its machine.

    Raises:
        JobError: an environment that is not `torchrun`'s, a device that such a job cannot use, a GPU or a library that
            is missing, or other processes that do not answer.
    """
    if not in_job():
        return ALONE
    rank, size, local = (_number(name) for name in NAMES)
    if rank >= size:
        raise JobError("environment", "RANK", rank, rule=f"must be below WORLD_SIZE, {size}", fix="use torchrun")
    library = _library(torch_device, local)
    try:
        distributed.init_process_group(library, timeout=TIMEOUT)
    except ValueError as error:  # no address to ask at
        rule = f"does not say where the other processes are ({error})"
        raise JobError("environment", rule=rule, fix="start it with torchrun, or unset WORLD_SIZE") from None
    except RuntimeError as error:
        raise Job(rank, size, torch_device).lost(str(error)) from error
    atexit.register(distributed.destroy_process_group)
    return Job(rank, size, torch_device)


def in_job() -> bool:
    """Whether this process was started as one of several."""
    return os.environ.get("WORLD_SIZE", "1") != "1"


def _number(name: str) -> int:
    text = os.environ.get(name, "")
    if not text.isdecimal():
        rule, fix = "must be a whole number in every process of a job", "start it with torchrun, or unset WORLD_SIZE"
        raise JobError("environment", name, repr(text), rule=rule, fix=fix)
    return int(text)


def _library(torch_device: str, local: int) -> str:
    """Name of the library that sums such tensors; also makes the process's own GPU the current one."""
    if torch_device not in LIBRARIES:
        rule = f"a job of several processes needs one of {', '.join(LIBRARIES)}, without a number"
        raise JobError("job", "torch_device", torch_device, rule=rule, fix="change the backend's card")
    if torch_device == "cuda":
        if local >= torch.cuda.device_count():
            rule = f"needs a GPU of its own, and this machine has {torch.cuda.device_count()}"
            raise JobError("job", "LOCAL_RANK", local, rule=rule, fix="lower --nproc-per-node")
        torch.cuda.set_device(local)
    library = LIBRARIES[torch_device]
    if not distributed.is_available() or not distributed.is_backend_available(library):
        rule = f"this build of torch has no {library}"
        raise JobError(
            "job", "torch_device", torch_device, rule=rule, fix="install another build, or start one process"
        )
    return library
