"""What is not finite: refused at once on the CPU, and elsewhere found by the next look, in a step and in a run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import mep_hw
from mep_hw.errors import DivergenceError
from mep_hw.outersum import OuterSum, Update
from mep_hw.training.finite import Finite
from mep_hw.training.loop import StepInfo

AWAY = torch.device("meta")  # any place that is not the CPU; the values may lie anywhere
FINE = [torch.ones(3, 2), OuterSum(torch.ones(3, 1), torch.ones(2, 1), 1e30)]


def with_one(value: float) -> Tensor:
    tensor = torch.ones(3, 2)
    tensor[1, 0] = value
    return tensor


WRONG: dict[str, Update] = {
    "nan": with_one(float("nan")),
    "minus infinity": with_one(float("-inf")),
    "left": OuterSum(with_one(float("inf")), torch.ones(4, 2)),
    "right": OuterSum(torch.ones(4, 2), with_one(float("nan"))),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_the_cpu_refuses_at_once(wrong: str) -> None:
    finite = Finite(torch.device("cpu"))
    finite.contrast([None, *FINE])
    finite.updates(FINE)
    with pytest.raises(DivergenceError, match="contrast = nan: is not finite, so the step was refused"):
        finite.contrast([None, *FINE, WRONG[wrong]])
    with pytest.raises(DivergenceError, match="update = nan: is not finite, so the step was refused"):
        finite.updates([*FINE, WRONG[wrong]])
    finite.look()  # what was refused is not there any more


@pytest.mark.parametrize("wrong", WRONG)
def test_elsewhere_it_is_remembered_until_somebody_looks(wrong: str) -> None:
    finite = Finite(AWAY)
    finite.look()
    finite.updates(FINE)
    finite.look()
    finite.updates([*FINE, WRONG[wrong]])
    finite.updates(FINE)
    with pytest.raises(DivergenceError, match="was not finite in one of the last steps, and weights were changed.*it$"):
        finite.look("; go back to it")


def test_a_factor_that_the_host_knows_is_refused_everywhere() -> None:
    for place in (AWAY, torch.device("cpu")):
        with pytest.raises(DivergenceError, match="update = nan: is not finite, so the step was refused"):
            Finite(place).updates([OuterSum(torch.ones(3, 1), torch.ones(2, 1), 1e300)])


def test_a_run_elsewhere_stops_and_names_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Finite, "at_once", False)
    file, steps = tmp_path / "checkpoint.safetensors", list[tuple[int, int]]()

    def spoil(info: StepInfo) -> None:
        steps.append((info.epoch, info.step))
        if steps[-1] == (2, 3):
            info.machine.write_bias(1, torch.full((8,), float("nan")))

    with pytest.raises(DivergenceError, match=f"weights were changed before.*; the state after epoch 1 is in {file}$"):
        mep_hw.train(mep_hw.mlp(64, 8, 10), rule="sgd", epochs=3, checkpoint=file, on_step=spoil, progress=False)
    assert steps[-1][0] == 2  # not the epoch after
    mep_hw.train(mep_hw.mlp(64, 8, 10), rule="sgd", epochs=3, checkpoint=file, resume=True, progress=False)


def test_results_do_not_depend_on_when_one_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> mep_hw.Model:
        return mep_hw.train(mep_hw.mlp(64, 8, 8, 10), rule="adam", epochs=1, progress=False).model

    here = run()
    monkeypatch.setattr(Finite, "at_once", False)
    assert all(torch.equal(a, b) for a, b in zip(here.weights, run().weights, strict=True))
