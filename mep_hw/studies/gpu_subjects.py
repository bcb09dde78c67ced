"""What is timed on a GPU: a training step by each path, by single launches, and of backpropagation in three forms.

All of them train the same model on the same batch with plain SGD and products of the same operands. Each is built and
called once here, so that memory which it keeps, such as that of a captured graph, counts as its own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mep_hw import estimator, machine, rules
from mep_hw.cards import BackendCard
from mep_hw.cards.changed import changed
from mep_hw.model import Model
from mep_hw.studies.roofline import wait
from mep_hw.studies.speed import BETA, LR, backprop_twin
from mep_hw.substrates.captured import Captured
from mep_hw.substrates.gpu import Gpu
from mep_hw.substrates.products import rounding
from mep_hw.training.step import TrainingStep

Call = Callable[[], object]


@dataclass(frozen=True)
class Subject:
    """peak_mib: memory that it took when it was built and first called; None off CUDA, where nobody counts."""

    call: Call
    peak_mib: float | None


def subjects(
    model: Model, card: BackendCard, sweeps: tuple[int, int], built: Gpu, x: Tensor, y: Tensor, compiled: bool
) -> tuple[dict[str, Subject], dict[str, str]]:
    """By name, and why those are missing that could not be built; `card` has these fixed sweeps."""
    place = built.torch_device
    makers: dict[str, Callable[[], Call]] = {
        "graph": lambda: _of(step(model, changed(card, {"gpu.path": "graph"})), x, y),
        "unfused": lambda: _unfused(model, sweeps, built, x, y),
        "eager": lambda: _backprop(model, built, x, y),
    }
    if built.unfit is None:
        makers["fused"] = lambda: _of(step(model, changed(card, {"gpu.path": "fused"})), x, y)
    if place.type == "cuda":
        makers["graphed"] = lambda: _graphed(model, built, x, y)
        if compiled:
            makers["compiled"] = lambda: _compiled(model, built, x, y)
    found: dict[str, Subject] = {}
    missing: dict[str, str] = {}
    for name, make in makers.items():
        try:
            found[name] = _tried(make, place)
        except (
            Exception
        ) as error:  # of a compiler or a driver, which may be anything: the other figures must not be lost
            missing[name] = f"{type(error).__name__}: {error}"
    return found, missing


def step(model: Model, card: BackendCard) -> TrainingStep:
    """A training step of EP on a machine of its own."""
    built = machine.build(copy.deepcopy(model), card, None, 0)
    return TrainingStep(built, estimator.make("centered", BETA), rules.make("sgd"), lr=LR)


def _tried(make: Callable[[], Call], place: torch.device) -> Subject:
    if place.type != "cuda":
        call = make()
        call()
        return Subject(call, None)
    wait(place)
    before = torch.cuda.memory_allocated(place)
    torch.cuda.reset_peak_memory_stats(place)
    call = make()
    call()
    wait(place)
    return Subject(call, (torch.cuda.max_memory_allocated(place) - before) / 2**20)


def _of(own: TrainingStep, x: Tensor, y: Tensor) -> Call:
    return lambda: own(x, y)


def _unfused(model: Model, sweeps: tuple[int, int], built: Gpu, x: Tensor, y: Tensor) -> Call:
    """The sweeps of the cpu backend, on the GPU."""
    place = str(built.torch_device)
    own = step(model, changed(machine.fixed_sweeps(machine.cards("cpu")[0], *sweeps), {"compute.torch_device": place}))

    def run() -> None:
        with rounding(built.operands, built.torch_device):
            own(x, y)

    return run


def _backprop(model: Model, built: Gpu, x: Tensor, y: Tensor) -> Callable[[], Tensor]:
    twin = backprop_twin(model).to(built.torch_device)
    return _trained(twin, twin, built, x, y, lambda: rounding(built.operands, built.torch_device))


def _compiled(model: Model, built: Gpu, x: Tensor, y: Tensor) -> Call:
    """Compiled for this model and batch alone; else later ones would share a graph of any shape."""
    torch._dynamo.reset()  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]  # the documented way
    twin = backprop_twin(model).to(built.torch_device)
    forward = torch.compile(twin, dynamic=False)
    return _trained(twin, forward, built, x, y, lambda: _as_compilers_read_it(built.operands))


def _graphed(model: Model, built: Gpu, x: Tensor, y: Tensor) -> Call:
    run = _backprop(model, built, x, y)
    captured = Captured(lambda _: [run()], [x])
    return lambda: captured.graph.replay()  # holds `captured`, and with it what the replay works on


def _trained(
    twin: nn.Module, forward: Callable[[Tensor], Tensor], built: Gpu, x: Tensor, y: Tensor,
    operands: Callable[[], object],
) -> Callable[[], Tensor]:  # fmt: skip
    """A step of backpropagation and SGD."""
    optimiser = torch.optim.SGD(twin.parameters(), lr=LR)
    low = torch.autocast(built.torch_device.type, torch.bfloat16) if built.operands == "bf16" else nullcontext()

    def run() -> Tensor:
        with operands():  # pyright: ignore[reportGeneralTypeIssues, reportAttributeAccessIssue]
            optimiser.zero_grad()
            with low:
                loss = (forward(x) - y).square().sum(1).mean() / 2
            loss.backward()
            optimiser.step()
        return loss.detach()

    return run


@contextmanager
def _as_compilers_read_it(operands: str) -> Generator[None]:
    """tf32 by the older setting: torch.compile asks for that one, which fails while only the newer one is set."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest" if operands == "fp32" else "high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
