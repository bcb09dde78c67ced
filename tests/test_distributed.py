"""Several processes train as one, and when one of them dies the others say so and leave a checkpoint to go on from.

The processes are real ones under `torchrun`, joined by gloo. Sums run in another order than in one process, so results
are compared up to rounding in float64, far below what a sample counted twice or not at all would make.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from command import call
from jobs import CASES, FAULTS, told, trained

from mep_hw.cli.train import stopped_by_torchrun
from mep_hw.distributed import ALONE, Job, join
from mep_hw.errors import JobError
from mep_hw.files import read_tensors

FILES = {"checkpoint.safetensors", "run.json", "history.csv", "curve.png"}
ROUNDING = 1e-9  # relative; a sample more or less is a matter of 1e-2


def torchrun(processes: int, *line: object) -> subprocess.CompletedProcess[str]:
    """Run `python LINE` in so many processes of one job; `--standalone` finds a free port."""
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run([*start, *map(str, line)], capture_output=True, text=True, env=environment)


JOBS = Path(__file__).parent / "jobs.py"


@pytest.fixture(scope="module", params=[2, 3])
def job(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What came of all cases in one job."""
    folder = tmp_path_factory.mktemp("job")
    done = torchrun(request.param, JOBS, "runs", folder, *CASES, *FAULTS)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", CASES)
def test_several_processes_train_as_one(name: str, job: Path) -> None:
    alone = trained(name)
    tensors, metadata = read_tensors(job / name)
    for key, value in alone.model.tensors().items():
        assert torch.linalg.norm(tensors[key] - value) <= ROUNDING * torch.linalg.norm(value), key
    mine, theirs = told(alone), json.loads(metadata["told"])
    rows = zip([mine, *mine.pop("history")], [theirs, *theirs.pop("history")], strict=True)
    for row, other in rows:
        assert other == {k: near(v) if isinstance(v, float) else v for k, v in row.items()}


def near(value: float) -> object:
    return pytest.approx(value, rel=1e-6, abs=1e-12)


def test_processes_that_do_not_agree_are_stopped(job: Path) -> None:
    for fault, words in {
        "seeds": "the processes of this job start with different settings or epochs done; use the same command line",
        "samples": "start with different training samples; use the same",
        "drift": "went through epoch 1, and end with different weights or random state; use",
    }.items():
        for rank in (0, 1):
            assert words in (job / f"{fault}-{rank}.txt").read_text()


LINE = ("train", "--model", "64-8-10", "--rule", "dion", "--rank", 2, "--batch-size", 128, "--epochs", 5, "--json")


def test_a_killed_process_ends_the_job_and_the_checkpoint_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = torchrun(2, "-m", "mep_hw", *LINE, "--out", tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    checkpoint = tmp_path / "parts" / "checkpoint.safetensors"
    resume: tuple[str, ...] = ()
    for victim, survivor, epoch in ((1, 0, 2), (0, 1, 4)):  # the one that writes, and the other one
        killed = torchrun(2, JOBS, "killed", victim, epoch, *LINE, "--out", tmp_path / "parts", *resume)
        assert (killed.returncode, killed.stdout) == (1, "")  # torchrun's own code for a failed job
        (line,) = [line for line in killed.stderr.splitlines() if line.startswith("mep-hw: ")]
        assert line.startswith(f"mep-hw: error: process {survivor} of 2: another process of this job ended or does not")
        assert line.endswith(f"start the job again with resume; the last whole epoch is in {checkpoint}")
        assert "mep_hw/" not in killed.stderr.replace(line, "")  # no traceback of ours
        assert epochs_in(checkpoint) == epoch - 1
        resume = ("--resume",)
    done = torchrun(2, "-m", "mep_hw", *LINE, "--out", tmp_path / "parts", *resume)
    first, last = json.loads(whole.stdout), json.loads(done.stdout)
    assert first | {"seconds": 0} == last | {"seconds": 0}
    assert {path.name for path in checkpoint.parent.iterdir()} == FILES
    (tensors, _), (others, _) = read_tensors(checkpoint), read_tensors(tmp_path / "whole" / checkpoint.name)
    assert tensors.keys() == others.keys()
    assert all(torch.equal(value, others[name]) for name, value in tensors.items())
    alone = call(capsys, *LINE, "--out", tmp_path / "whole", "--resume").json  # nothing left to train, and one process
    assert alone | {"seconds": 0} == first | {"seconds": 0}


def epochs_in(path: Path) -> int:
    return len(json.loads(read_tensors(path)[1]["history"]))


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"WORLD_SIZE": "two"}, "environment: RANK = '': must be a whole number in every process of a job"),
        ({"WORLD_SIZE": "two", "RANK": "0", "LOCAL_RANK": "0"}, "WORLD_SIZE = 'two': must be a whole number"),
        ({"WORLD_SIZE": "2", "RANK": "2", "LOCAL_RANK": "0"}, "RANK = 2: must be below WORLD_SIZE, 2; use torchrun"),
        (
            {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"},
            "environment: does not say where the other processes are (",
        ),
    ],
)
def test_an_environment_that_is_not_torchruns_is_refused(
    environment: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_only(monkeypatch, environment)
    with pytest.raises(JobError) as caught:
        join()
    assert message in str(caught.value)


def set_only(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("torch_device", "message"),
    [("cuda:1", "torch_device = cuda:1: a job of several processes needs one of cpu, cuda, without a number"),
     ("cuda", "LOCAL_RANK = 99: needs a GPU of its own, and this machine has")],
)  # fmt: skip
def test_devices_that_a_job_cannot_use(torch_device: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    set_only(monkeypatch, {"WORLD_SIZE": "100", "RANK": "99", "LOCAL_RANK": "99"})
    with pytest.raises(JobError) as caught:
        join(torch_device)
    assert message in str(caught.value)


def test_without_torchrun_or_with_one_process_there_is_no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    set_only(monkeypatch, {})
    assert join() is ALONE
    set_only(monkeypatch, {"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0"})
    assert join() is ALONE


def test_a_stop_by_torchrun_is_told_and_not_repeated() -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(JobError, match=r"process 1 of 2: another process of this job ended .* \(SIGTERM\)"):
            with stopped_by_torchrun(Job(1, 2, "cpu")):
                signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)  # while the error is being printed
    finally:
        signal.signal(signal.SIGTERM, before)
    with stopped_by_torchrun(Job(1, 2, "cpu")):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_other_commands_are_for_one_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_only(monkeypatch, {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"})
    shown = call(capsys, "backends")
    assert (shown.code, shown.out) == (2, "")
    assert shown.err == (
        "mep-hw: error: mep-hw backends: would be done by every process of this job alike; start it without torchrun\n"
    )
