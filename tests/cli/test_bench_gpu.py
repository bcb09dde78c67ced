"""`mep-hw bench gpu` as on a machine without a network: a checkout and few packages; for a GPU, the interpreter."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mep_hw.cards import load_backend
from mep_hw.cards.changed import changed
from mep_hw.kernels.phase import phase_kernel
from mep_hw.model import Model, mlp
from mep_hw.studies import gpu_checks, gpu_subjects
from mep_hw.studies.gpu_speed import Plan, measure
from mep_hw.studies.roofline import Ceilings, least_seconds

# None stands for a package that cannot be imported.
LACKING = """
import sys
sys.modules.update(matplotlib=None, sklearn=None)
from mep_hw.cli import main
main()
"""


def bench(*words: str, where: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    return subprocess.run(
        [sys.executable, "-c", LACKING, "bench", "gpu", *words], cwd=where, env=environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip


def test_it_runs_with_few_packages_and_writes_what_it_prints(tmp_path: Path) -> None:
    done = bench("--model", "8-9-5", "--batch", "6", "--json", "--out", "found/here.json", where=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result == json.loads((tmp_path / "found/here.json").read_text())
    checks = result["checks"]
    assert {check["path"] for check in checks} == {"fused", "graph", "polar-express"}
    assert {check["operands"] for check in checks if check["path"] != "polar-express"} == {"fp32"}
    assert all(check["passed"] and 0 < check["error"] <= check["bar"] for check in checks)
    (row,) = result["rows"]
    assert (row["model"], row["batch"], row["path"]) == ("8-9-5", 6, "fused")
    assert row["ep_ms"] == row["fused_ms"] and row["min_cosine"] >= 0.98
    assert row["compiled_ms"] is row["graphed_ms"] is row["peak_mib"] is None  # there is no CUDA
    assert result["left_out"] == [] and result["settings"]["interpreted"] is True


def test_no_time_leaves_rows_out_and_says_which() -> None:
    left_out: list[str] = []
    plan = Plan([mlp(6, 5, 4)], [3, 5], start=0.0, end=0.0)
    assert list(measure(plan, load_backend("gpu"), Ceilings(1.0, 1.0), left_out)) == []
    assert left_out == ["6-5-4, batch 3: no time", "6-5-4, batch 5: no time"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "--model and --batch: is needed in the interpreter"),
        (("--model", "6-5-4", "--batch", "2", "--operands", "fp8"), "gpu.operands = fp8"),
        (("--model", "6", "--batch", "2"), "6"),
        (("--model", "6-5-4", "--batch", "2", "--out", "/proc/none/x.json"), "cannot be written to"),
    ],
)
def test_bad_input_is_one_line(words: tuple[str, ...], told: str, tmp_path: Path) -> None:
    done = bench(*words, where=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr and done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_kernel_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that is told of one layer less than there are."""
    launch = phase_kernel.run

    def shortened(*args: object, **kwargs: object) -> object:
        changed = list(args)
        changed[-2] = int(str(changed[-2])) - 1
        return launch(*changed, **kwargs)

    monkeypatch.setattr(phase_kernel, "run", shortened)
    monkeypatch.setattr(gpu_checks, "_models", lambda: {"small": mlp(5, 6, 7, gpu_checks.OUTPUTS, activation="tanh")})
    found = list(gpu_checks.checks(load_backend("gpu")))
    assert not any(check.passed for check in found if check.path == "fused")
    assert all(check.passed for check in found if check.path == "graph")


def test_a_kernel_whose_results_are_no_numbers_fails_its_checks_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    launch = phase_kernel.run

    def spoiled(*args: object, **kwargs: object) -> object:
        done = launch(*args, **kwargs)
        for value in args[:5]:  # what the kernel writes, and nothing that is shared with other launches
            if isinstance(value, torch.Tensor) and value.dtype == torch.float32:
                value.fill_(math.nan)
        return done

    monkeypatch.setattr(phase_kernel, "run", spoiled)
    monkeypatch.setattr(gpu_checks, "_models", lambda: {"small": mlp(5, 6, gpu_checks.OUTPUTS, activation="tanh")})
    found = list(gpu_checks.checks(load_backend("gpu")))
    fused = [check for check in found if check.path == "fused"]
    assert fused and all(check.error is None for check in fused)
    assert any(check.path == "graph" for check in found)


def test_the_least_time_is_that_of_products_or_of_bytes() -> None:
    model = mlp(4, 3, 2)
    products = 2 * 12 + (1 + 2 * 2 + 2 * (2 * 3 - 1) + 2) * 6  # as the formula of the speed study counts them
    assert least_seconds(model, 10, (2, 3), Ceilings(1e30, 1e3)) == pytest.approx(2 * 10 * products / 1e3)
    moved = 4 * (3 * 18 + 10 * (4 + 6 * 5))
    assert least_seconds(model, 10, (2, 3), Ceilings(1e3, 1e30)) == pytest.approx(moved / 1e3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_every_kind_of_operands_is_checked() -> None:
    found = list(gpu_checks.checks(load_backend("gpu")))
    assert {check.operands for check in found} >= {"fp32", "tf32", "bf16"}
    assert all(check.passed for check in found), [check for check in found if not check.passed]


def test_what_fails_is_left_out_with_its_reason_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    right = gpu_subjects.backprop_twin

    def wrong(model: Model) -> torch.nn.Sequential:
        if model.outputs == 4:
            raise torch.OutOfMemoryError("too large")
        return right(model)

    monkeypatch.setattr(gpu_subjects, "backprop_twin", wrong)
    left_out: list[str] = []
    plan = Plan([mlp(6, 5, 4), mlp(6, 5, 3)], [3], start=0.0, end=math.inf)
    (row,) = measure(plan, changed(load_backend("gpu"), {"gpu.path": "graph"}), Ceilings(1.0, 1.0), left_out)
    assert row.model == "6-5-3"
    assert left_out == ["6-5-4, batch 3: RuntimeError: eager: OutOfMemoryError: too large"]


def test_what_is_not_a_number_fails_its_check() -> None:
    nothing = torch.full((2,), torch.nan)
    assert gpu_checks._off([torch.ones(2), nothing], [torch.ones(2).double()] * 2) is None  # pyright: ignore
    assert not gpu_checks.Check("x", "fused", "fp32", None, 1.0).passed
