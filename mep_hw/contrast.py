"""Contrasts: weighted sums of local products over the phases, kept as factors where the coupling is dense."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

import torch
from torch import Tensor

from mep_hw.coupling import Coupling
from mep_hw.outersum import OuterSum, Update
from mep_hw.state import LocalStates, Settled, State
from mep_hw.substrates.base import Substrate


@dataclass(frozen=True)
class Contrast:
    """Batch means that approach -dL/dW and -dL/db: per coupling (None: not trained) and per layer (None: no bias).

    signal: of a layer (from 1), each sample's own (batch, *shape), which approaches -dC/d drive; computed on demand.
    """

    weights: list[Update | None]
    biases: list[Tensor | None]
    free: Settled
    signal: Callable[[int], Tensor] = field(repr=False)

    def states(self, substrate: Substrate, c: int, inputs: Tensor) -> LocalStates:
        """What the two ends of coupling c saw."""
        coupling = substrate.model.couplings[c]
        source = inputs if coupling.source == 0 else self.free.state[coupling.source - 1]
        before, after = coupling.local(self.signal(coupling.target), source, _routing(substrate, c))
        return LocalStates(before, after)


def differences(
    substrate: Substrate, state: State, weights: Sequence[float | Tensor], inputs: Tensor, free: Settled
) -> Contrast:
    """sum_k weights[k] (local products of copy 2k - those of copy 2k + 1); `state` holds 2 len(weights) copies.

    The state is used up: its memory goes into the contrast, because memory that no cache holds yet costs a step more
    than what is computed in it.

    A weight is a number or a (batch,) tensor. Couplings from the input need one column per sample and pair, because the
    input is the same in both copies; the others need two. Of two real products the difference is taken as

        t+ s+ - t- s- = (t+ - t-) (s+ + s-) / 2 + (t+ + t-) / 2 (s+ - s-)

    so that float32 never subtracts two nearly equal sums over a batch.
    """
    model, batch, pairs = substrate.model, len(inputs), len(weights)
    single = weights[0] if pairs == 1 and isinstance(weights[0], float) else None

    def weighted(value: Tensor) -> Tensor:
        """Each pair's rows times its weight; left to the end where that is one number."""
        if single is not None:
            return value
        return torch.cat([_times(part, w) for part, w in zip(value.split(batch), weights, strict=True)])

    def folded(delta: Tensor) -> Tensor:
        """The weighted differences summed over pairs, (batch, *shape)."""
        return weighted(delta).unflatten(0, (pairs, batch)).sum(0) if pairs > 1 else weighted(delta)

    both = state if pairs == 1 else [_signs_apart(value, batch) for value in state]
    routed = {n for k in model.couplings if k.routes_by_argmax for n in (k.source, k.target) if k.source > 0}
    ends = {n: both[n - 1].clone() for n in routed}
    parts = [_mean_and_difference(value) for value in both]
    signals = [folded(difference) for _, difference in parts]
    factor = 1.0 if single is None else single

    def product(coupling: Coupling, weight: Tensor) -> Update:
        target, source = coupling.target, coupling.source
        if source == 0:
            return coupling.product(signals[target - 1], inputs, weight) * factor
        if coupling.routes_by_argmax:  # each copy has its own winners, so the identity above does not hold
            top, low = ends[target].chunk(2)
            return coupling.product(torch.cat([weighted(top), -weighted(low)]), ends[source], weight) * factor
        mean, difference = parts[target - 1]
        columns = torch.cat([weighted(difference), weighted(mean)]), both[source - 1]
        return coupling.product(*columns, weight) * factor

    updates: list[Update | None] = [
        product(k, _routing(substrate, c)) if k.trainable else None for c, k in enumerate(model.couplings)
    ]
    biases = [
        None if k.bias_shape is None else _over_batch(signal, k.bias_shape) * factor
        for signal, k in zip(signals, model.layers, strict=True)
    ]
    return Contrast(updates, biases, free, lambda layer: signals[layer - 1] * (factor * batch))


def contour(substrate: Substrate, state: State, weights: Sequence[complex], inputs: Tensor, free: Settled) -> Contrast:
    """Real part of sum_k weights[k] (local products of copy k) for complex states of len(weights) copies.

    The weights sum to zero. Dense couplings need two columns per sample and copy, those from the input one per sample.
    """
    model, batch = substrate.model, len(inputs)

    @cache
    def weighted(layer: int) -> Tensor:
        parts = state[layer - 1].split(batch)
        return torch.cat([_times(part, w) for part, w in zip(parts, weights, strict=True)])

    @cache
    def folded(layer: int) -> Tensor:
        return weighted(layer).unflatten(0, (len(weights), batch)).sum(0).real

    updates: list[Update | None] = []
    for c, coupling in enumerate(model.couplings):
        weight = model.weights[c]  # its values do not matter: complex states exclude max pooling
        if not coupling.trainable:
            updates.append(None)
        elif coupling.source == 0:
            updates.append(coupling.product(folded(coupling.target), inputs, weight))
        else:
            target, source = weighted(coupling.target), state[coupling.source - 1]
            # Re(t s) = Re t Re s - Im t Im s: the real and the imaginary products stand side by side.
            rows = torch.cat([target.real, -target.imag]), torch.cat([source.real, source.imag])
            updates.append(coupling.product(*rows, weight))
    biases = [
        None if k.bias_shape is None else _over_batch(folded(n), k.bias_shape)
        for n, k in enumerate(model.layers, start=1)
    ]
    return Contrast(updates, biases, free, lambda layer: folded(layer) * batch)


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

    def signal(layer: int) -> Tensor:
        return torch.stack([part.signal(layer) for part in parts]).sum(0)

    return Contrast(weights, biases, parts[0].free, signal)


def _signs_apart(value: Tensor, batch: int) -> Tensor:
    """The copies with even numbers, and below them those with odd ones, as a new tensor."""
    return value.view(-1, 2, batch, *value.shape[1:]).transpose(0, 1).flatten(0, 2)


def _mean_and_difference(value: Tensor) -> tuple[Tensor, Tensor]:
    """(top + low) / 2 and top - low of the halves of `value`, in their places; the difference is rounded only once."""
    top, low = value.chunk(2)
    torch.sub(top, low, out=low)
    return top.sub_(low, alpha=0.5), low


def _over_batch(value: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The sum over samples, and over the positions that share a bias of this shape."""
    whole = value.sum(0)
    return whole if whole.shape == shape else whole.sum_to_size(shape)


def _routing(substrate: Substrate, c: int) -> Tensor:
    """Weights of coupling c, for their shape; their values matter, and are read, only where maxima decide the route."""
    model = substrate.model
    return substrate.read(c) if model.couplings[c].routes_by_argmax else model.weights[c]


def _times(part: Tensor, weight: complex | Tensor) -> Tensor:
    if isinstance(weight, Tensor):
        weight = weight.reshape(-1, *[1] * (part.dim() - 1))
    return part * weight
