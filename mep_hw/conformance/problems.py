"""Small models and data for the suite: one of every kind of coupling, and two tasks for more than a linear read-out.

Everything follows from fixed seeds, so that a number in a report can be had again. The models are small enough for a
machine that integrates an ODE; what they cannot show is how a machine behaves at its full size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mep_hw import spec
from mep_hw.data import Data
from mep_hw.initial import operator_norm
from mep_hw.model import Model, convnet, mlp
from mep_hw.spec import BoxSpec


@dataclass(frozen=True)
class Problem:
    """A model with random biases, inputs (n, *input_shape) in [0, 1] and one-hot targets (n, outputs), in float64."""

    name: str
    model: Model
    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class Task:
    """Something to learn: data, a model that can, and by how much it must beat its own frozen hidden layer."""

    data: Data
    model: Model
    epochs: int
    margin: float


Floats: TypeAlias = NDArray[np.float32]
Labels: TypeAlias = NDArray[np.int64]
WEAK = 0.54  # spectral norm of couplings between layers at which every model here has one equilibrium
STRONG = 0.9  # the same for models that are to learn
KINDS = ("mlp", "deep", "conv", "skip", "cross_entropy")
REQUIRED = ("mlp",)  # kinds that no card can excuse


def problem(kind: str, samples: int = 8) -> Problem:
    """The problem of that kind; see KINDS."""
    generator = torch.Generator().manual_seed(1)
    model = _model(kind)
    _draw(model, generator, WEAK)
    for bias in model.biases:
        if bias is not None:
            bias.copy_(0.2 * torch.randn(bias.shape, generator=generator, dtype=torch.float64))
    x = torch.rand((samples, *model.input_shape), generator=generator, dtype=torch.float64)
    y = torch.eye(model.outputs, dtype=torch.float64)[torch.arange(samples) % model.outputs]
    return Problem(kind, model, x, y)


def _model(kind: str) -> Model:
    double = torch.float64
    if kind == "mlp":
        return mlp(6, 8, 4, dtype=double)
    if kind == "deep":
        return mlp(6, 6, 6, 6, 6, 4, activation="tanh", dtype=double)
    if kind == "conv":
        return convnet((1, 6, 6), (3,), kernel=3, outputs=4, activation="tanh", dtype=double)
    if kind == "cross_entropy":
        return mlp(6, 8, 6, 4, activation="tanh", cost="cross_entropy", dtype=double)
    assert kind == "skip", kind
    skips = [{"source": 0, "target": 2, "dense": True}, {"source": 1, "target": 3, "identity": 0.3}]
    layers = [{"dense": 6, "activation": "tanh"}, {"dense": 5, "activation": "tanh", "bias": False}]
    layers += [{"dense": 6, "activation": "tanh"}, {"dense": 4}]
    return Model(spec.parse({"input": [6], "layers": layers, "skips": skips}), dtype=double)


def tasks(smooth: bool = True) -> list[Task]:
    """Fresh models for noisy XOR and for two moons; each has too few hidden units to do without training them.

    Args:
        smooth: XOR with tanh units, else with a box from -1 to 1, whose units do not learn at its ends: longer.
    """
    units = "tanh" if smooth else BoxSpec(low=-1.0, high=1.0, gain=1.0)
    return [
        Task(_data("xor", _xor), _drawn(mlp(2, 3, 2, activation=units)), epochs=3 if smooth else 5, margin=0.1),
        Task(_data("two moons", _moons), _drawn(mlp(2, 6, 2)), epochs=4, margin=0.05),
    ]


def _drawn(model: Model) -> Model:
    _draw(model, torch.Generator().manual_seed(0), STRONG)
    return model


def _draw(model: Model, generator: torch.Generator, norm: float) -> None:
    """Initial weights of the suite's own, so that its figures do not move when the usual ones change."""
    for coupling, weight in zip(model.couplings, model.weights, strict=True):
        if coupling.trainable:
            drawn = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
            size = (
                math.sqrt(math.prod(weight.shape[1:]))
                if coupling.source == 0
                else operator_norm(coupling, drawn) / norm
            )
            weight.copy_(drawn / size)


def _data(name: str, make: Callable[[int, int], tuple[Floats, Labels]]) -> Data:
    x, y, test_x, test_y = (torch.as_tensor(part) for part in (*make(640, 0), *make(200, 1)))
    return Data(name, x, y, test_x, test_y, classes=2)


def _xor(count: int, seed: int) -> tuple[Floats, Labels]:
    """Four clouds at (+-1, +-1); the class is whether the signs differ."""
    random = np.random.RandomState(seed)
    corner = np.stack([np.arange(count) % 2, np.arange(count) // 2 % 2], 1)
    x = 2 * corner - 1 + 0.2 * random.randn(count, 2)
    return x.astype(np.float32), corner[:, 0] ^ corner[:, 1]


def _moons(count: int, seed: int) -> tuple[Floats, Labels]:
    """Two half circles that reach into each other, centred."""
    random = np.random.RandomState(seed)
    label = np.arange(count) % 2
    angle = np.pi * random.rand(count)
    first = np.stack([np.cos(angle), np.sin(angle)], 1)
    second = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], 1)
    x = np.where(label[:, None] == 0, first, second) + 0.1 * random.randn(count, 2) - [0.5, 0.25]
    return x.astype(np.float32), label
