"""A training step on a GPU never waits for it: shown on a pretended one, and on a real one where there is one.

The pretended one is torch's device `meta`: what is not the CPU runs the code for GPUs, and its tensors have no values,
so whatever asks for one fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from dispatch import Launches, Read, moved
from torch import Tensor

import mep_hw
from mep_hw import estimator, machine, rules
from mep_hw.cards.changed import changed
from mep_hw.kernels import run
from mep_hw.kernels.chain import Chain, Tiles
from mep_hw.substrates.gpu import Gpu
from mep_hw.substrates.products import Products
from mep_hw.training.finite import Finite
from mep_hw.training.loop import StepInfo
from mep_hw.training.step import TrainingStep

RULES = ["sgd", "adam", "muon", "dion", "hebbian"]
AROUND = {"": {}, "decay": {"weight_decay": 0.01}, "clip": {"clip": 0.5}}
CASES = [(rule, around) for rule in RULES for around in AROUND if (rule, around) != ("hebbian", "decay")]
GPUS = ["meta", *(["cuda"] if torch.cuda.is_available() else [])]


def made(rule: str, sizes: tuple[int, ...], bound: float | None = None, **around: float) -> TrainingStep:
    card, _ = machine.cards("cpu")
    substrate = machine.build(mep_hw.mlp(*sizes), machine.fixed_sweeps(card, 3, 3), None, 0)
    given = rules.DEFAULTS[rule] | around
    lr, clip = given.pop("lr"), given.pop("clip", None)
    own = rules.make(rule, momentum=given["momentum"], weight_decay=given["weight_decay"], clip=clip)
    return TrainingStep(substrate, estimator.make("centered", 0.1), own, lr=lr, bound=bound)


@contextmanager
def never_waiting(place: torch.device) -> Iterator[None]:
    """CUDA's own check that nothing waits; without a GPU there is none to ask."""
    if place.type != "cuda":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def batch(sizes: tuple[int, ...], place: torch.device) -> tuple[Tensor, Tensor]:
    return torch.rand(8, sizes[0], device=place), torch.rand(8, sizes[-1], device=place)


@pytest.mark.parametrize(("rule", "around"), CASES)
@pytest.mark.parametrize("gpu", GPUS)
def test_a_step_never_waits(gpu: str, rule: str, around: str) -> None:
    sizes = (12, 9, 9, 9, 5)
    step = made(rule, sizes, **AROUND[around])
    place = torch.device(gpu)
    moved(step, place)
    x, y = batch(sizes, place)
    with Launches(refuse=True), never_waiting(place):
        for _ in range(2):
            free = step(x, y)
    assert free.output.device.type == gpu and step.finite.largest is not None
    assert all(value.device.type == gpu for m in step.memory.values() for value in m.values() if value.dim())


class Launcher:
    """Takes a launch of the kernel, which has no values to work on."""

    def __init__(self) -> None:
        self.launched = 0

    def __getitem__(self, grid: tuple[int]) -> Callable[..., None]:
        def launch(*args: object, **kwargs: object) -> None:
            self.launched += 1

        return launch


@pytest.mark.parametrize("path", ["fused", "graph"])
def test_both_paths_of_the_gpu_backend_run_ahead(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, sizes, launcher = torch.device("meta"), (12, 9, 9, 5), Launcher()
    card = changed(machine.fixed_sweeps(machine.cards("gpu")[0], 3, 3), {"gpu.path": path})
    built = machine.build(mep_hw.mlp(*sizes), card, None, 0)
    assert isinstance(built, Gpu)
    step = TrainingStep(built, estimator.make("centered", 0.1), rules.make("sgd"), lr=0.1)
    moved(step, place)
    built.chain = Chain(built.model, place, torch.float32, Tiles(16, 16))
    built.products = Products(built.model, built.weights, built.biases, "fp32", {})
    monkeypatch.setattr(run, "phase_kernel", launcher)
    with Launches(refuse=True):
        free = step(*batch(sizes, place))
    assert free.output.device.type == "meta"
    assert launcher.launched == (2 if path == "fused" else 0)  # a launch for a phase, both signs in one


@pytest.mark.parametrize(("rule", "bound"), [("natural", None), ("sgd", 0.8)])
def test_what_decomposes_matrices_waits_as_the_pages_say(rule: str, bound: float | None) -> None:
    sizes = (12, 9, 9, 5)
    step = made(rule, sizes, bound)
    moved(step, torch.device("meta"))
    with pytest.raises(Read), Launches(refuse=True):
        step(*batch(sizes, torch.device("meta")))


WAITS: dict[str, Callable[[Tensor], object]] = {
    "number": lambda x: x.sum().item(),
    "truth": lambda x: bool((x > 0).all()),
    "places": lambda x: x.nonzero(),
    "mask": lambda x: x[x > 0],
    "index from elsewhere": lambda x: x[torch.arange(2)],
    "written mask": lambda x: x.index_put_((x > 0,), torch.zeros((), device="meta")),
    "copy": lambda x: x.cpu(),
    "copy from the host": lambda x: torch.ones(3).to(x.device),
    "svd": torch.linalg.svd,
    "eigenvalues": torch.linalg.eigh,
    "inverse": torch.linalg.inv,
    "solution": lambda x: torch.linalg.solve(x, x),
    "cholesky": torch.linalg.cholesky,
}


@pytest.mark.parametrize("name", WAITS)
def test_the_check_knows_what_waits(name: str) -> None:
    with pytest.raises(Read), Launches(refuse=True):
        WAITS[name](torch.empty(3, 3, device="meta"))


LAUNCHES = {"sgd": 79, "adam": 91, "muon": 176, "dion": 152}  # counted; one by one 104, 230, 410 and 365


@pytest.mark.parametrize("rule", LAUNCHES)
def test_a_deep_model_takes_few_launches(rule: str) -> None:
    """Outside of settling, with eight hidden layers of one width; the shared code of contrasts takes five a layer."""
    sizes = (24, *[16] * 8, 10)
    step = made(rule, sizes)
    place = torch.device("meta")
    moved(step, place)
    launched = Launches()
    step.substrate.settle = launched.aside(step.substrate.settle)  # pyright: ignore[reportAttributeAccessIssue]
    x, y = batch(sizes, place)
    with launched:
        step(x, y)
    assert launched.total <= LAUNCHES[rule], launched.counts


def test_an_epoch_reads_only_where_it_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A callback that asks for nothing costs nothing; one that asks for both numbers costs two reads a step."""
    monkeypatch.setattr(Finite, "at_once", False)

    def reads(on_step: Callable[[StepInfo], object] | None, size: int = 100) -> int:
        found = 0
        real = Tensor.__float__

        def counted(self: Tensor) -> float:
            nonlocal found
            found += 1
            return real(self)

        with monkeypatch.context() as patch:
            patch.setattr(Tensor, "__float__", counted)
            mep_hw.train(
                mep_hw.mlp(64, 8, 10), epochs=1, batch_size=size, free_sweeps=2, nudged_sweeps=2, progress=False,
                on_step=on_step,
            )  # fmt: skip
        return found

    silent = reads(None)  # of 15 steps
    assert reads(None, 50) == silent > 0
    assert reads(lambda info: info.step) == silent
    assert reads(lambda info: (info.loss, info.loss, info.free_sweeps)) == silent + 2 * 15
