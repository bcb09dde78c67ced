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
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mep_hw import estimator, machine
from mep_hw.cards import BackendCard
from mep_hw.cards.changed import changed
from mep_hw.model import Model
from mep_hw.outersum import dense
from mep_hw.studies.gpu_subjects import step, subjects
from mep_hw.studies.roofline import Ceilings, least_seconds, wait
from mep_hw.studies.speed import BAR, BETA, CANDIDATES, floor, prototypes
from mep_hw.studies.timing import in_turn
from mep_hw.substrates.gpu import Gpu

WARM_STEPS = 50
SWEEPS = (8, 5)  # of the steps before the fewest are looked for
STEPS = 5  # between two waits
ROUNDS = 9
PROBE = 64  # samples on which sweeps are judged
COMPILED = 0.6  # share of the time after which nothing more is compiled: each takes half a minute


@dataclass(frozen=True)
class Row:
    """One model and batch. Times in ms per step, None where it does not exist or was left out; memory in MiB."""

    model: str
    batch: int
    path: str
    free_sweeps: int
    nudged_sweeps: int
    min_cosine: float | None
    ep_ms: float
    fused_ms: float | None
    graph_ms: float | None
    unfused_ms: float | None
    eager_ms: float
    compiled_ms: float | None
    graphed_ms: float | None
    ratio_eager: float
    ratio_compiled: float | None
    ratio_graphed: float | None
    over_unfused: float | None
    roofline: float
    peak_mib: float | None
    eager_peak_mib: float | None


@dataclass(frozen=True)
class Plan:
    """What to measure: models, batches, and when (`time.monotonic`) no further row is begun."""

    models: Sequence[Model]
    batches: Sequence[int]
    start: float
    end: float


@dataclass(frozen=True)
class Prepared:
    """A model trained a little, the fewest sweeps that will do, and their least cosine (None: not a number)."""

    model: Model
    sweeps: tuple[int, int]
    cosine: float | None


def measure(plan: Plan, card: BackendCard, found: Ceilings, left_out: list[str]) -> Iterator[Row]:
    """Rows, batch after batch; what failed, and what there was no time for, goes into `left_out` with its reason."""
    prepared: dict[str, Prepared] = {}
    for batch in plan.batches:
        for model in plan.models:
            what, now = f"{model.name}, batch {batch}", time.monotonic()
            if now >= plan.end:
                left_out.append(f"{what}: no time")
                continue
            try:
                if model.name not in prepared:
                    prepared[model.name] = _prepared(model, card)
                compiled = now < plan.start + COMPILED * (plan.end - plan.start)
                row, missing = _row(prepared[model.name], batch, card, found, compiled)
            except Exception as error:  # of a driver, memory or a compiler: the other rows must not be lost
                left_out.append(f"{what}: {type(error).__name__}: {error}")
                continue
            left_out += [f"{what}, {name}: {why}" for name, why in missing.items()]
            yield row


def _prepared(model: Model, card: BackendCard) -> Prepared:
    x, y = prototypes(model, PROBE * 10, 0)
    own = step(model, machine.fixed_sweeps(card, *SWEEPS))
    x, y = own.substrate.tensor(x), own.substrate.tensor(y)
    for number in range(WARM_STEPS):
        rows = slice(number * PROBE % len(x), number * PROBE % len(x) + PROBE)
        own(x[rows], y[rows])
    own.substrate.store()
    trained = own.substrate.model
    end: dict[str, object] = {"settle.free_sweeps": 400, "settle.nudged_sweeps": 400}
    end |= {"settle.tolerance": 1e-6, "settle.nudged_tolerance": 1e-4}
    wanted = _contrast(trained, changed(card, end), x[:PROBE], y[:PROBE])
    cosine, sweeps = 0.0, CANDIDATES[-1]
    for sweeps in sorted(CANDIDATES, key=lambda pair: floor(model, *pair)):
        mine = _contrast(trained, machine.fixed_sweeps(card, *sweeps), x[:PROBE], y[:PROBE])
        pairs = zip(mine, wanted, strict=True)
        cosine = float(torch.stack([F.cosine_similarity(a.flatten(), b.flatten(), 0) for a, b in pairs]).min())
        if cosine >= BAR:
            break
    return Prepared(trained, sweeps, cosine if math.isfinite(cosine) else None)


def _row(
    prepared: Prepared, batch: int, card: BackendCard, found: Ceilings, compiled: bool
) -> tuple[Row, dict[str, str]]:
    """The row, and why subjects of it are missing."""
    model, sweeps = prepared.model, prepared.sweeps
    fixed = machine.fixed_sweeps(card, *sweeps)
    built = machine.build(copy.deepcopy(model), fixed, None, 0)
    assert isinstance(built, Gpu)
    place, ep = built.torch_device, built.path(batch).name
    x, y = (built.tensor(value) for value in prototypes(model, batch, 0))
    subject, missing = subjects(model, fixed, sweeps, built, x, y, compiled)
    for needed in (ep, "eager"):
        if needed in missing:
            raise RuntimeError(f"{needed}: {missing[needed]}")

    def repeated(call: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            for _ in range(STEPS):
                call()
            wait(place)

        return run

    timed = in_turn({name: repeated(one.call) for name, one in subject.items()}, "eager", ROUNDS)
    ms: dict[str, float] = {row["name"]: row["ms"] / STEPS for row in timed}

    def over(one: str, other: str) -> float | None:
        return ms[one] / ms[other] if one in ms and other in ms else None

    row = Row(
        model.name, batch, ep, *sweeps, prepared.cosine, ms[ep], ms.get("fused"), ms.get("graph"), ms.get("unfused"),
        ms["eager"], ms.get("compiled"), ms.get("graphed"), ms[ep] / ms["eager"], over(ep, "compiled"),
        over(ep, "graphed"), over("unfused", ep), 1e3 * least_seconds(model, batch, sweeps, found) / ms[ep],
        subject[ep].peak_mib, subject["eager"].peak_mib,
    )  # fmt: skip
    return row, missing


def _contrast(model: Model, card: BackendCard, x: Tensor, y: Tensor) -> list[Tensor]:
    built = machine.build(copy.deepcopy(model), card, None, 0)
    found = estimator.make("centered", BETA).total(built, x, y)
    return [dense(update) for update in found.weights if update is not None]
