"""Small models of every kind, with inputs and targets, for tests of settling."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mep_hw import spec
from mep_hw.initial import operator_norm
from mep_hw.model import Model, convnet, mlp


@dataclass(frozen=True)
class Problem:
    model: Model
    x: Tensor
    y: Tensor


KINDS = ("mlp", "deep", "tanh", "sigmoid", "cross_entropy", "skip", "conv", "maxpool", "convskip")
NORM = 0.8  # spectral norm of every coupling between layers
SMOOTH = ("tanh", "sigmoid")


def problem(kind: str, samples: int = 6, dtype: torch.dtype = torch.float64) -> Problem:
    """A model of that kind with random weights and biases, and `samples` inputs with one-hot targets.

    The weights are drawn here, so that a change of the initialisation does not change what is settled.
    """
    generator = torch.Generator().manual_seed(1)
    model = structure(kind, dtype)
    for coupling, weight in zip(model.couplings, model.weights, strict=True):
        if coupling.weight_shape:
            drawn = torch.randn(coupling.weight_shape, generator=generator, dtype=torch.float64)
            fan_in = drawn[0].numel()
            weight.copy_(drawn * (fan_in**-0.5 if coupling.source == 0 else NORM / operator_norm(coupling, drawn)))
    for bias in model.biases:
        if bias is not None:
            bias.copy_(0.3 * torch.randn(bias.shape, generator=generator, dtype=torch.float64))
    x = torch.rand((samples, *model.input_shape), generator=generator, dtype=torch.float64).to(dtype)
    y = torch.eye(model.outputs, dtype=dtype)[torch.arange(samples) % model.outputs]
    return Problem(model, x, y)


def structure(kind: str, dtype: torch.dtype = torch.float64) -> Model:
    """A model of that kind as it is initialised."""
    image = (2, 8, 8)
    if kind == "mlp":
        return mlp(12, 10, 8, 4, dtype=dtype)
    if kind == "deep":
        return mlp(12, 10, 10, 10, 10, 10, 10, 4, activation="tanh", dtype=dtype)
    if kind in SMOOTH:
        return mlp(12, 10, 8, 4, activation="tanh" if kind == "tanh" else "sigmoid", dtype=dtype)
    if kind == "cross_entropy":
        return mlp(12, 10, 8, 4, cost="cross_entropy", dtype=dtype)
    if kind == "conv":
        return convnet(image, (3, 4), kernel=3, padding=1, hidden=(6,), outputs=4, dtype=dtype)
    if kind == "maxpool":
        return convnet(image, (3,), kernel=3, pool="max", activation="tanh", outputs=4, dtype=dtype)
    conv = {"conv": {"channels": 4, "kernel": 3, "padding": 1}, "activation": "hard_sigmoid"}
    if kind == "convskip":  # skips of both kinds between images, and as many channels as outputs
        half = {"conv": {"channels": 4, "kernel": 2, "stride": 2}}
        skips = [{"source": 0, "target": 2, "conv": half["conv"]}, {"source": 2, "target": 4, "identity": 0.2}]
        layers = [conv, {**conv, "after": [{"pool": "avg", "size": 2}]}, conv, conv, {"dense": 4}]
        return Model(spec.parse({"input": image, "layers": layers, "skips": skips}), dtype=dtype)
    assert kind == "skip", kind
    skips = [{"source": 0, "target": 2, "dense": True}, {"source": 1, "target": 4, "dense": True}]
    skips += [{"source": 0, "target": 4, "dense": True}, {"source": 1, "target": 3, "identity": 0.3}]
    layers = [{"dense": 8}, {"dense": 6}, {"dense": 8, "bias": False}, {"dense": 4}]
    return Model(spec.parse({"input": [12], "layers": layers, "skips": skips}), dtype=dtype)
