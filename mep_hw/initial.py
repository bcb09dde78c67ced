"""Initial weights and biases: weak enough to settle fast, with units inside their range.

Chosen by experiment: settling is fast for couplings between layers of spectral norm up to 0.7, and a unit that starts
well above its lower bound keeps clear of the kink there. Training may leave that range.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mep_hw.activation import Box
from mep_hw.coupling import Coupling, Dense
from mep_hw.structure import Layer

INPUT_GAIN = 0.7  # standard deviation of first-layer weights times sqrt(fan-in); inputs are mostly positive
START_INSIDE = 0.2  # state of a box unit without input, above its lower bound
HIDDEN_NORM = 0.7  # spectral norm of the couplings between layers at the start


def initial_weight(coupling: Coupling, generator: torch.Generator) -> Tensor:
    """Gaussian with variance 1 / fan-in, times INPUT_GAIN^2 from the input and scaled down to HIDDEN_NORM elsewhere."""
    shape = coupling.weight_shape
    weight = torch.randn(shape, generator=generator, dtype=torch.float64)
    if not shape:
        return weight  # a fixed residual link: its strength comes from the specification
    weight /= math.sqrt(math.prod(shape[1:]))
    if coupling.source == 0:
        weight *= INPUT_GAIN
    else:
        weight *= min(1.0, HIDDEN_NORM / operator_norm(coupling, weight))
    return weight


def initial_bias(layer: Layer, dtype: torch.dtype) -> Tensor | None:
    """A unit that receives nothing starts inside its range, where it can learn, and not at a bound of its box."""
    if layer.bias_shape is None:
        return None
    box = layer.activation
    start = 0.0
    if isinstance(box, Box):
        start = float(box.inverse(torch.tensor(min(box.low + START_INSIDE, (box.low + box.high) / 2))))
    return torch.full(layer.bias_shape, start, dtype=dtype)


def operator_norm(coupling: Coupling, weight: Tensor, iterations: int = 50) -> float:
    """Spectral norm of s -> Phi(s; weight): exact for dense couplings, by power iteration (a lower bound) otherwise."""
    if isinstance(coupling.operator, Dense) and not coupling.before:
        return float(torch.linalg.matrix_norm(weight, 2))
    generator = torch.Generator().manual_seed(0)
    vector = torch.randn((1, *coupling.source_shape), generator=generator, dtype=weight.dtype)
    norm = 0.0
    for _ in range(iterations):
        vector = vector / vector.norm().clamp_min(1e-300)
        vector = coupling.backward(coupling.forward(vector, weight), weight, vector)
        norm = math.sqrt(float(vector.norm()))
    return norm
