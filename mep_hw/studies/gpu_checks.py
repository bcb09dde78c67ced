"""Is what a GPU computes right? Every path and number format against the cpu machine in float64.

The models are smooth, so that rounding moves results a little and never flips a unit; odd sizes and ragged batches go
over the edges of tiles. Bars follow from the formats: 24, 11 and 8 bits of mantissa, over some tens of sweeps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from mep_hw import estimator, machine, rules
from mep_hw.cards import BackendCard
from mep_hw.cards.changed import changed
from mep_hw.errors import CapabilityError, DivergenceError
from mep_hw.model import Model, convnet, mlp
from mep_hw.outersum import dense
from mep_hw.rules.orthogonal import orthogonalise
from mep_hw.state import Nudge, State
from mep_hw.substrates.base import Substrate
from mep_hw.substrates.gpu import Gpu
from mep_hw.training.step import TrainingStep

BARS = {  # of states, of contrasts, and of changes of weights, which are small beside the weights that hold them
    "fp32": (1e-4, 2e-3, 1e-2), "tf32": (5e-3, 2e-2, 5e-2), "bf16": (3e-2, 1e-1, 2e-1)
}  # fmt: skip
SAMPLES = 19
OUTPUTS = 6
BETA = 0.1
STEPS = 4
TIGHT: dict[str, object] = {
    "settle.anderson": 0, "settle.free_sweeps": 200, "settle.nudged_sweeps": 200, "settle.tolerance": 1e-6,
    "settle.nudged_tolerance": 1e-5,
}  # fmt: skip


@dataclass(frozen=True)
class Check:
    """One comparison: the relative error, None where it is not a number, and the most that it may be."""

    what: str
    path: str
    operands: str
    error: float | None
    bar: float

    @property
    def passed(self) -> bool:
        return self.error is not None and self.error <= self.bar


def checks(card: BackendCard) -> Iterator[Check]:
    """All of them, one after the other; `card` is that of a machine with kernels."""
    for name, model in _models().items():
        for operands in ("fp32", "tf32", "bf16"):
            for path in ("fused", "graph"):
                try:
                    built = machine.build(model, changed(card, TIGHT | _way(operands, path)), None, 0)
                except CapabilityError:  # this model is not for the kernel
                    continue
                assert isinstance(built, Gpu)
                if built.operands != operands:  # the interpreter has one format only
                    continue
                yield from _checked(name, path, operands, built, model)
    yield _polar(card)


def _way(operands: str, path: str) -> dict[str, object]:
    return {"gpu.operands": operands, "gpu.path": path}


def _models() -> dict[str, Model]:
    return {
        "17-33-6": mlp(17, 33, OUTPUTS, activation="tanh"),
        "17-33-21-40-6": mlp(17, 33, 21, 40, OUTPUTS, activation="sigmoid"),
        "cross entropy": mlp(17, 20, 35, OUTPUTS, activation="tanh", cost="cross_entropy"),
        "skips": mlp(17, 24, 18, OUTPUTS, activation="tanh", skips=[(0, 2), (1, 3)]),
        "conv": convnet((1, 10, 10), (3, 5), kernel=3, outputs=OUTPUTS, activation="tanh"),
    }


def _checked(name: str, path: str, operands: str, built: Substrate, model: Model) -> Iterator[Check]:
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(SAMPLES, *model.input_shape, generator=generator)
    y = torch.eye(OUTPUTS)[torch.randint(OUTPUTS, (SAMPLES,), generator=generator)]
    exact = changed(machine.cards("cpu")[0], TIGHT | {"compute.dtype": "float64"})
    wide = machine.build(model, changed(exact, {"settle.tolerance": 1e-12, "settle.nudged_tolerance": 1e-10}), None, 0)
    mine, theirs = _states(built, x, y), _states(wide, x, y)
    of_states, of_contrasts, of_changes = BARS[operands]
    for what, a, b in zip(("free state", "nudged states"), mine, theirs, strict=True):
        yield Check(f"{name}: {what}", path, operands, _off(a, b), of_states)
    yield Check(f"{name}: contrast", path, operands, _off(_contrast(built, x, y), _contrast(wide, x, y)), of_contrasts)
    try:
        error = _off(_changes(built, model, x, y), _changes(wide, model, x, y))
    except DivergenceError:  # a wrong kernel may leave memory as it was, with anything in it
        error = None
    yield Check(f"{name}: change of weights in {STEPS} steps", path, operands, error, of_changes)


def _changes(substrate: Substrate, model: Model, x: Tensor, y: Tensor) -> State:
    step = TrainingStep(substrate, estimator.make("centered", BETA), rules.make("sgd"), lr=0.05)
    for _ in range(STEPS):
        step(substrate.tensor(x), substrate.tensor(y))
    before = [weight.to(substrate.torch_device, substrate.dtype) for weight in model.weights]
    return [substrate.read(c) - before[c] for c in model.trainable]


def _states(built: Substrate, x: Tensor, y: Tensor) -> tuple[State, State]:
    inputs, target = built.tensor(x), built.tensor(y)
    beta = torch.tensor([BETA, -BETA], dtype=inputs.dtype, device=inputs.device).repeat_interleave(len(x))
    free = built.settle(inputs)
    return [*free.state, free.output], built.settle(inputs, Nudge(beta, target), free).state


def _contrast(built: Substrate, x: Tensor, y: Tensor) -> State:
    found = estimator.make("centered", BETA).total(built, built.tensor(x), built.tensor(y))
    return [dense(update) for update in found.weights if update is not None]


def _polar(card: BackendCard) -> Check:
    """Newton-Schulz as rules use it there, against exact singular vectors: the largest distance of a value from 1."""
    place = machine.build(mlp(2, 2, 2), card, None, 0).torch_device
    matrix = torch.randn(64, 96, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    found = orthogonalise(matrix.float().to(place), "polar-express").double().cpu()
    values = torch.einsum("ik,ij,kj->k", left, found, right)
    return Check("polar factor of 64 x 96", "polar-express", str(place.type), _finite((values - 1).abs().max()), 0.2)


def _off(mine: State, theirs: State) -> float | None:
    """Largest relative distance of a tensor."""
    pairs = zip(mine, theirs, strict=True)
    return _finite(torch.stack([(a.double().cpu() - b).norm() / b.norm() for a, b in pairs if b.norm()]).max())


def _finite(value: Tensor) -> float | None:
    return float(value) if bool(value.isfinite()) else None
