"""How long does a training step take, as a ratio to backpropagation through the same layers?

Both sides train the same dense or convolutional net on the same batches with plain SGD and the same squared error, in
one process, in alternating blocks; the ratio is the median over blocks, so that a busy machine slows both sides alike.
The EP side is the public training step whole: settle, rule, compile, apply, cost. It runs the fewest sweeps at which
every layer's contrast has a cosine of at least `BAR` to the exact gradient, on a net trained with many sweeps and again
after as many steps with the few, plain or over-relaxed; sweeps, over-relaxation and the lower cosine are part of the
result.

Counted in products, with P_1 weights from the input and P others, backprop needs 2 P_1 + 3 P per sample, EP with T free
and N nudged sweeps 2 P_1 + (1 + 2 T + 2 (2 N - 1) + 2) P (the nudged phase holds two copies of the batch, and its first
sweep reuses the free phase's products). Not valid as a statement about GPUs, where launches dominate.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mep_hw import estimator as estimators
from mep_hw import machine, rules
from mep_hw.activation import Box
from mep_hw.cards import BackendCard
from mep_hw.cards.changed import changed
from mep_hw.coupling import Conv, Dense, Pool
from mep_hw.errors import ModelError
from mep_hw.gradcheck import gradient_check
from mep_hw.model import Model
from mep_hw.training.step import TrainingStep

BAR = 0.98  # least cosine of any layer on the trained net
WARM_STEPS = 300  # training steps before the cosine is measured
LR = 0.02
BETA = 0.1
CANDIDATES = [(free, nudged) for nudged in range(1, 6) for free in range(1, 9)]  # sweeps tried, fewest products first
RELAXATIONS = (1.0, 1.2)  # tried in this order for each number of sweeps


@dataclass(frozen=True)
class Speed:
    """One row of `mep-hw bench speed`. Times are medians over blocks, in ms per batch; quartiles are of the ratio."""

    model: str
    batch: int
    threads: int
    ep_ms: float
    backprop_ms: float
    ratio: float
    ratio_quartiles: tuple[float, float]
    floor: float
    sweeps: tuple[int, int]
    over_relaxation: float
    min_cosine: float


def measure_speed(model: Model, *, batch: int = 64, blocks: int = 40, block_steps: int = 5, seed: int = 0) -> Speed:
    """Train `model` a little on synthetic classes, find the fewest sweeps, then time both sides.

    Raises:
        ModelError: the model has skips or another loss, which the backprop twin does not have.
    """
    inputs, targets = prototypes(model, batch * 40, seed)
    twin = backprop_twin(model)
    step = _trained(model, inputs, targets, batch, _card((8, 5)), seed)
    step, cosine = fewest_sweeps(step.substrate.model, inputs, targets, batch, seed)
    settle = step.substrate.backend.settle
    sweeps = settle.free_sweeps, settle.nudged_sweeps
    optimiser = torch.optim.SGD(twin.parameters(), lr=LR)
    x, y = inputs[:batch], targets[:batch]

    def backprop() -> None:
        optimiser.zero_grad()
        loss = (twin(x) - y).square().sum(1).mean() / 2
        loss.backward()
        optimiser.step()

    times = [(_seconds(lambda: step(x, y), block_steps), _seconds(backprop, block_steps)) for _ in range(blocks)]
    ratios = [ep / bp for ep, bp in times]
    quartiles = statistics.quantiles(ratios, n=4)
    return Speed(
        model.name, batch, torch.get_num_threads(), 1e3 * statistics.median(ep for ep, _ in times),
        1e3 * statistics.median(bp for _, bp in times), statistics.median(ratios), (quartiles[0], quartiles[2]),
        floor(model, *sweeps), sweeps, settle.over_relaxation, cosine,
    )  # fmt: skip


def fewest_sweeps(model: Model, inputs: Tensor, targets: Tensor, batch: int, seed: int) -> tuple[TrainingStep, float]:
    """A step with the cheapest sweeps that keep this trained model's cosines at BAR, and the lowest cosine seen.

    It holds a copy of the model, trained further with those sweeps: ones that are just enough can let couplings grow
    until they are not.
    """
    data = inputs[: 2 * batch], targets[: 2 * batch]

    def cosine(of: Model, card: BackendCard) -> float:
        found = gradient_check(of, data, backend=card, beta=BETA, as_trained=True).min_cosine
        return 0.0 if found is None else found

    for sweeps in sorted(CANDIDATES, key=lambda s: floor(model, *s)):
        for over in RELAXATIONS:
            card = _card(sweeps, over)
            before = cosine(model, card)
            if before < BAR:
                continue
            step = _trained(copy.deepcopy(model), inputs, targets, batch, card, seed)
            after = cosine(step.substrate.model, card)
            if after >= BAR:
                return step, min(before, after)
    raise ModelError(
        "bench",
        "model",
        model.name,
        rule=f"needs more sweeps than {CANDIDATES[-1]} for cosine {BAR}",
        fix="use a smaller model",
    )


def floor(model: Model, free: int, nudged: int) -> float:
    """Ratio of products per sample, EP to backprop: what a step would take if both sides ran products equally fast."""
    first, rest = _first_and_rest(model)
    return multiplications(model, free, nudged) / (2 * first + 3 * rest)


def multiplications(model: Model, free: int, nudged: int) -> int:
    """Of a training step with so many sweeps, per sample."""
    first, rest = _first_and_rest(model)
    return 2 * first + (1 + 2 * free + 2 * (2 * nudged - 1) + 2) * rest


def _first_and_rest(model: Model) -> tuple[int, int]:
    """Multiplications per sample of one pass through the couplings from the input, and through all others."""
    first = sum(_products(model, c) for c in model.outgoing[0])
    return first, sum(_products(model, c) for c in range(len(model.couplings))) - first


def prototypes(model: Model, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Ten noisy random patterns in [0, 1] and their one-hot classes: learnable, and free of downloads."""
    generator = torch.Generator().manual_seed(seed)
    centres = (torch.rand(model.outputs, *model.input_shape, generator=generator) < 0.3).float()
    labels = torch.randint(model.outputs, (count,), generator=generator)
    noise = torch.randn(count, *model.input_shape, generator=generator)
    return (centres[labels] * 0.7 + 0.35 * noise).clamp(0, 1), torch.eye(model.outputs)[labels]


def backprop_twin(model: Model) -> nn.Sequential:
    """The feed-forward net with the same layers and weights: what backprop would train in this model's place."""
    modules: list[nn.Module] = []
    if model.spec.skips or not model.loss.in_energy:
        raise ModelError(
            "bench", "model", model.name, rule="must be a chain with squared error", fix="leave skips and cost out"
        )
    for coupling, layer, weight in zip(model.couplings, model.layers, model.weights, strict=False):
        operator = coupling.operator
        modules += [_pool(pool) for pool in coupling.before]
        if isinstance(operator, Conv):
            module: nn.Linear | nn.Conv2d = nn.Conv2d(
                weight.shape[1], operator.channels, operator.kernel, operator.stride, operator.padding
            )
        else:
            modules += [nn.Flatten()] if len(coupling.operand_shape) > 1 else []
            module = nn.Linear(weight.shape[1], weight.shape[0])
        module.weight.data.copy_(weight)
        modules += [module, *(_pool(pool) for pool in coupling.after)]
        if isinstance(layer.activation, Box):
            modules.append(nn.Hardtanh(layer.activation.low, layer.activation.high))
        elif layer.activation is not None:
            raise ModelError("bench", "activation", layer.activation, rule="must be a box", fix="use hard_sigmoid")
    return nn.Sequential(*modules)


def _trained(model: Model, inputs: Tensor, targets: Tensor, batch: int, card: BackendCard, seed: int) -> TrainingStep:
    substrate = machine.build(model, card, None, seed)
    step = TrainingStep(substrate, estimators.make("centered", BETA), rules.make("sgd"), lr=LR)
    for number in range(WARM_STEPS):
        rows = slice(number * batch % len(inputs), number * batch % len(inputs) + batch)
        step(inputs[rows], targets[rows])
    substrate.store()
    return step


def _card(sweeps: tuple[int, int], over: float = 1.0) -> BackendCard:
    card = machine.fixed_sweeps(machine.cards("cpu")[0], *sweeps)
    return changed(card, {"settle.over_relaxation": over})


def _seconds(call: Callable[[], Any], times: int) -> float:
    call()  # each block starts with its own weights in the cache
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times


def _products(model: Model, c: int) -> int:
    """Multiplications per sample of one pass through a coupling."""
    coupling = model.couplings[c]
    if isinstance(coupling.operator, Dense):
        return model.weights[c].numel()
    height, width = coupling.operator.shape(coupling.operand_shape)[1:]
    return model.weights[c].numel() * height * width


def _pool(pool: Pool) -> nn.Module:
    kind = nn.AvgPool2d if pool.kind == "avg" else nn.MaxPool2d
    return kind(pool.size, pool.stride, pool.padding)
