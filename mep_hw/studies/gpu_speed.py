"""A training step on a GPU against backpropagation of the same net there, and against this project's own plain loop.

All subjects of a row run in turn in one process, each several steps between two waits for the device:

    fused, graph   the gpu backend's two paths, whole training steps; `ep` is the one that it chooses by itself
    unfused        the same step with the sweeps of the cpu backend as single launches on the GPU
    eager          autograd and SGD of the feed-forward twin; compiled: by torch.compile; graphed: as a CUDA graph

Sweeps are the fewest at which each layer's contrast has a cosine of BAR to that of phases settled to the end, on a net
trained a little; products of all subjects take the same operands (bf16: autocast on the side of backpropagation).
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mep_hw import estimator, machine, rules
from mep_hw.cards import BackendCard
from mep_hw.cards.changed import changed
from mep_hw.model import Model
from mep_hw.outersum import dense
from mep_hw.studies.roofline import Ceilings, least_seconds, wait
from mep_hw.studies.speed import BAR, BETA, CANDIDATES, LR, backprop_twin, floor, prototypes
from mep_hw.studies.timing import in_turn
from mep_hw.substrates.captured import Captured
from mep_hw.substrates.gpu import Gpu
from mep_hw.substrates.products import rounding
from mep_hw.training.step import TrainingStep

WARM_STEPS = 50
SWEEPS = (8, 5)  # of the steps before the fewest are looked for
STEPS = 5  # between two waits
ROUNDS = 9
PROBE = 64  # samples on which sweeps are judged
COMPILED_UP_TO = 4.0  # minutes of the whole run after which nothing more is compiled: each takes half a minute


@dataclass(frozen=True)
class Row:
    """One model and batch. Times in ms per step, None where it does not exist or was left out; memory in MiB."""

    model: str
    batch: int
    path: str
    free_sweeps: int
    nudged_sweeps: int
    min_cosine: float
    ep_ms: float
    fused_ms: float | None
    graph_ms: float
    unfused_ms: float
    eager_ms: float
    compiled_ms: float | None
    graphed_ms: float | None
    ratio_eager: float
    ratio_compiled: float | None
    ratio_graphed: float | None
    over_unfused: float
    roofline: float
    peak_mib: float | None
    eager_peak_mib: float | None


@dataclass(frozen=True)
class Plan:
    """What to measure: models, batches, and how long the whole may take."""

    models: Sequence[Model]
    batches: Sequence[int]
    minutes: float


def measure(plan: Plan, card: BackendCard, found: Ceilings, left_out: list[str]) -> Iterator[Row]:
    """Rows, one after the other; what the time was not enough for is named in `left_out`."""
    start = time.perf_counter()
    for model in plan.models:
        prepared: tuple[Model, tuple[int, int], float] | None = None
        for batch in plan.batches:
            minutes = (time.perf_counter() - start) / 60
            if minutes > plan.minutes:
                left_out.append(f"{model.name}, batch {batch}")
                continue
            prepared = prepared or _prepared(model, card)
            yield _row(*prepared, batch, card, found, minutes < COMPILED_UP_TO)


def _prepared(model: Model, card: BackendCard) -> tuple[Model, tuple[int, int], float]:
    """The model trained a little, the fewest sweeps that will do, and their least cosine."""
    x, y = prototypes(model, PROBE * 10, 0)
    step = _step(model, machine.fixed_sweeps(card, *SWEEPS))
    x, y = step.substrate.tensor(x), step.substrate.tensor(y)
    for number in range(WARM_STEPS):
        rows = slice(number * PROBE % len(x), number * PROBE % len(x) + PROBE)
        step(x[rows], y[rows])
    step.substrate.store()
    trained = step.substrate.model
    end: dict[str, object] = {"settle.free_sweeps": 400, "settle.nudged_sweeps": 400}
    end |= {"settle.tolerance": 1e-6, "settle.nudged_tolerance": 1e-4}
    wanted = _contrast(trained, changed(card, end), x[:PROBE], y[:PROBE])
    cosine, sweeps = 0.0, CANDIDATES[-1]
    for sweeps in sorted(CANDIDATES, key=lambda pair: floor(model, *pair)):
        mine = _contrast(trained, machine.fixed_sweeps(card, *sweeps), x[:PROBE], y[:PROBE])
        cosine = min(float(F.cosine_similarity(a.flatten(), b.flatten(), 0)) for a, b in zip(mine, wanted, strict=True))
        if cosine >= BAR:
            break
    return trained, sweeps, cosine


def _row(
    model: Model, sweeps: tuple[int, int], cosine: float, batch: int, card: BackendCard, found: Ceilings, compiled: bool
) -> Row:
    fixed = machine.fixed_sweeps(card, *sweeps)
    own = _step(model, fixed)
    built = own.substrate
    assert isinstance(built, Gpu)
    place = built.torch_device
    x, y = (built.tensor(value) for value in prototypes(model, batch, 0))
    chosen = built.path(batch)
    subjects: dict[str, Callable[[], object]] = {}
    subjects["graph"] = _of(_step(model, changed(fixed, {"gpu.path": "graph"})), x, y)
    if built.unfit is None:
        subjects["fused"] = _of(_step(model, changed(fixed, {"gpu.path": "fused"})), x, y)
    subjects["unfused"] = _unfused(model, sweeps, built, x, y)
    subjects["eager"] = _backprop(model, built, x, y)
    if place.type == "cuda":
        subjects["graphed"] = _graphed(model, built, x, y)
        if compiled:
            subjects["compiled"] = _backprop(model, built, x, y, compiled=True)

    def repeated(call: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            for _ in range(STEPS):
                call()
            wait(place)

        return run

    timed = in_turn({name: repeated(call) for name, call in subjects.items()}, "eager", ROUNDS)
    ms: dict[str, float] = {row["name"]: row["ms"] / STEPS for row in timed}
    ratio: dict[str, float] = {row["name"]: row["ratio"] for row in timed}
    ep = chosen.name
    return Row(
        model.name, batch, ep, *sweeps, cosine, ms[ep], ms.get("fused"), ms["graph"], ms["unfused"], ms["eager"],
        ms.get("compiled"), ms.get("graphed"), ratio[ep], _over(ms, ep, "compiled"), _over(ms, ep, "graphed"),
        ms["unfused"] / ms[ep], 1e3 * least_seconds(model, batch, sweeps, found) / ms[ep],
        _peak(subjects[ep], place), _peak(subjects["eager"], place),
    )  # fmt: skip


def _step(model: Model, card: BackendCard) -> TrainingStep:
    built = machine.build(copy.deepcopy(model), card, None, 0)
    return TrainingStep(built, estimator.make("centered", BETA), rules.make("sgd"), lr=LR)


def _of(step: TrainingStep, x: Tensor, y: Tensor) -> Callable[[], object]:
    return lambda: step(x, y)


def _unfused(model: Model, sweeps: tuple[int, int], built: Gpu, x: Tensor, y: Tensor) -> Callable[[], object]:
    place = str(built.torch_device)
    card = changed(machine.fixed_sweeps(machine.cards("cpu")[0], *sweeps), {"compute.torch_device": place})
    step = _step(model, card)

    def run() -> None:
        with rounding(built.operands, built.torch_device):
            step(x, y)

    return run


def _backprop(model: Model, built: Gpu, x: Tensor, y: Tensor, compiled: bool = False) -> Callable[[], Tensor]:
    twin: nn.Module = backprop_twin(model).to(built.torch_device)
    optimiser = torch.optim.SGD(twin.parameters(), lr=LR)
    forward = torch.compile(twin) if compiled else twin
    low = torch.autocast(built.torch_device.type, torch.bfloat16) if built.operands == "bf16" else nullcontext()

    def run() -> Tensor:
        with rounding(built.operands, built.torch_device):
            optimiser.zero_grad()
            with low:
                loss = (forward(x) - y).square().sum(1).mean() / 2
            loss.backward()
            optimiser.step()
        return loss.detach()

    return run


def _graphed(model: Model, built: Gpu, x: Tensor, y: Tensor) -> Callable[[], object]:
    run = _backprop(model, built, x, y)
    captured = Captured(lambda _: [run()], [x])
    return captured.graph.replay


def _over(ms: dict[str, float], ep: str, other: str) -> float | None:
    return ms[ep] / ms[other] if other in ms else None


def _peak(call: Callable[[], object], place: torch.device) -> float | None:
    """MiB that one call takes beyond what is held before it; None off CUDA, where nobody counts."""
    if place.type != "cuda":
        return None
    wait(place)
    before = torch.cuda.memory_allocated(place)
    torch.cuda.reset_peak_memory_stats(place)
    call()
    wait(place)
    return (torch.cuda.max_memory_allocated(place) - before) / 2**20


def _contrast(model: Model, card: BackendCard, x: Tensor, y: Tensor) -> list[Tensor]:
    built = machine.build(copy.deepcopy(model), card, None, 0)
    found = estimator.make("centered", BETA).total(built, x, y)
    return [dense(update) for update in found.weights if update is not None]
