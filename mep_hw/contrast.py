"""Contrasts: weighted sums of local products over the phases, kept as factors where the coupling is dense."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from mep_hw.coupling import Coupling
from mep_hw.outersum import OuterSum, Update
from mep_hw.state import Settled, State
from mep_hw.substrates.base import Substrate


@dataclass(frozen=True)
class Contrast:
    """Batch means that approach -dL/dW and -dL/db: per coupling (None: not trained) and per layer (None: no bias)."""

    weights: list[Update | None]
    biases: list[Tensor | None]
    free: Settled


def combine(
    substrate: Substrate, state: State, weights: Sequence[complex | Tensor], inputs: Tensor, free: Settled
) -> Contrast:
    """sum_k weights[k] * (local products of copy k), real part; `state` holds len(weights) copies of the batch.

    A weight is a number or a (batch,) tensor. Couplings from the input need one column per sample, because the input is
    the same in every copy; the others need one per sample and copy (twice that for complex states).
    """
    model, batch = substrate.model, len(inputs)
    fed = {model.couplings[c].target for c in model.outgoing[0]}

    @cache
    def weighted(layer: int) -> Tensor:
        """The layer's states times their copies' weights, (copies * batch, *shape)."""
        parts = state[layer - 1].split(batch)
        return torch.cat([_times(part, w) for part, w in zip(parts, weights, strict=True)])

    @cache
    def folded(layer: int) -> Tensor:
        """The weighted sum over copies, (batch, *shape), real."""
        parts, first = state[layer - 1].split(batch), weights[0]
        if len(parts) == 2 and not isinstance(first, Tensor) and first == -weights[1]:
            return torch.sub(parts[0], parts[1]).mul_(first.real)
        return torch.stack([_times(part, w) for part, w in zip(parts, weights, strict=True)]).sum(0).real

    updates: list[Update | None] = []
    for c, coupling in enumerate(model.couplings):
        weight = substrate.read(c) if coupling.routes_by_argmax else model.weights[c]
        if not coupling.trainable:
            updates.append(None)
        elif coupling.source == 0:
            updates.append(coupling.product(folded(coupling.target), inputs, weight))
        else:
            updates.append(_product(coupling, weighted(coupling.target), state[coupling.source - 1], weight))
    biases: list[Tensor | None] = []
    for number, layer in enumerate(model.layers, start=1):
        value = folded(number) if number in fed else weighted(number).real
        biases.append(None if layer.bias_shape is None else value.sum(0).sum_to_size(layer.bias_shape))
    return Contrast(updates, biases, free)


def total(parts: Sequence[Contrast]) -> Contrast:
    """The sum of several contrasts of one model."""
    weights: list[Update | None] = []
    for group in zip(*(part.weights for part in parts), strict=True):
        present = [u for u in group if u is not None]
        if not present:
            weights.append(None)
        elif all(isinstance(u, OuterSum) for u in present):
            factors = [u for u in present if isinstance(u, OuterSum)]
            left = torch.cat([u.left * u.scale for u in factors], 1)
            weights.append(OuterSum(left, torch.cat([u.right for u in factors], 1)))
        else:
            weights.append(torch.stack([u for u in present if isinstance(u, Tensor)]).sum(0))
    biases = [
        None if group[0] is None else torch.stack([b for b in group if b is not None]).sum(0)
        for group in zip(*(part.biases for part in parts), strict=True)
    ]
    return Contrast(weights, biases, parts[0].free)


def _times(part: Tensor, weight: complex | Tensor) -> Tensor:
    if isinstance(weight, Tensor):
        weight = weight.reshape(-1, *[1] * (part.dim() - 1))
    return part * weight


def _product(coupling: Coupling, target: Tensor, source: Tensor, weight: Tensor) -> Update:
    if not target.is_complex():
        return coupling.product(target, source, weight)
    # Re(t s) = Re t Re s - Im t Im s: the real and the imaginary products stand side by side.
    rows = torch.cat([target.real, -target.imag]), torch.cat([source.real, source.imag])
    return coupling.product(*rows, weight)
