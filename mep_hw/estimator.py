"""Estimators: settle a free phase and some nudged ones, and combine their local products into a contrast.

With f(beta) the sum of local products at the state nudged with beta, df/dbeta at 0 is minus the gradient of the loss
with respect to the weights (Scellier and Bengio 2017). An estimator is a finite-difference formula for that derivative:
a table of nodes beta_k / beta and of weights w_k beta with sum_k w_k = 0. Errors, for a settled state:

    one_sided    (f(beta) - f(0)) / beta                          O(beta), and residual / beta of the free phase
    random_sign  the same with a random sign per sample           O(beta), but O(beta^2) on average
    centered     (f(beta) - f(-beta)) / 2 beta                    O(beta^2)
    richardson   centered at beta and beta/2, extrapolated        O(beta^4)
    holomorphic  N complex nodes on a circle of radius beta       O(beta^N), smooth activations only
    continual    the one-sided difference split over the sweeps   O(beta), weights may move in between

(Laborieux et al. 2021; Laborieux and Zenke 2022, arXiv 2209.00530; for continual Ernoult et al. 2020, arXiv
2005.04168.) Continual applies one update per nudged sweep and is stable only for a learning rate well below beta.
All of them are first-order wrong where a unit enters or leaves saturation between the phases.
"""

from __future__ import annotations

import cmath
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from mep_hw.contrast import Contrast, contour, differences, total
from mep_hw.errors import CapabilityError, InputError
from mep_hw.ranges import POSITIVE, require
from mep_hw.state import Nudge, Settled
from mep_hw.substrates.base import Substrate


class Estimator(ABC):
    """beta: nudging strength (> 0)."""

    name: str
    beta: float

    @abstractmethod
    def contrasts(
        self, substrate: Substrate, inputs: Tensor, target: Tensor, start: Settled | None = None
    ) -> Iterator[Contrast]:
        """Contrasts whose sum is the estimate; each is to be applied before the next is asked for.

        Args:
            inputs: (batch, *input_shape).
            target: (batch, outputs), one-hot or real-valued.
            start: where the free phase sets out from, a former one of the same inputs; it is settled all the same.
        Raises:
            CapabilityError: the backend or the model cannot run this estimator.
        """

    def total(self, substrate: Substrate, inputs: Tensor, target: Tensor, start: Settled | None = None) -> Contrast:
        """The whole estimate, with the weights left alone in between."""
        parts = list(self.contrasts(substrate, inputs, target, start))
        return parts[0] if len(parts) == 1 else total(parts)


@dataclass(frozen=True)
class Pairs(Estimator):
    """Real finite differences: the sum over (a, b, w) in `pairs` of w (f(a beta) - f(b beta)) / beta; f(0) is free."""

    name: str
    beta: float
    pairs: tuple[tuple[float, float, float], ...]

    def contrasts(
        self, substrate: Substrate, inputs: Tensor, target: Tensor, start: Settled | None = None
    ) -> Iterator[Contrast]:
        nodes = [node for a, b, _ in self.pairs for node in (a, b)]
        if min(nodes) < 0:
            _require_minimum(substrate, self.beta)
        free = substrate.settle(inputs, None, start)
        batch = len(inputs)
        beta = _strengths(tuple(n * self.beta for n in nodes if n), batch, inputs.dtype, inputs.device)
        state = substrate.settle(inputs, Nudge(beta, target), free).state
        if 0 in nodes:  # only as the last one
            state = [torch.cat([a, b]) for a, b in zip(state, free.state, strict=True)]
        yield differences(substrate, state, [w / (self.beta * batch) for *_, w in self.pairs], inputs, free)


@dataclass(frozen=True)
class Holomorphic(Estimator):
    """A contour integral: `points` complex nodes on a circle of radius beta."""

    beta: float
    points: int
    name = "holomorphic"

    def contrasts(
        self, substrate: Substrate, inputs: Tensor, target: Tensor, start: Settled | None = None
    ) -> Iterator[Contrast]:
        _require_complex(substrate)
        _require_minimum(substrate, self.beta)
        free = substrate.settle(inputs, None, start)
        batch = len(inputs)
        nodes = [cmath.rect(1.0, 2 * cmath.pi * k / self.points) for k in range(self.points)]
        beta = _strengths(tuple(n * self.beta for n in nodes), batch, inputs.dtype.to_complex(), inputs.device)
        state = substrate.settle(inputs, Nudge(beta, target), free).state
        weights = [1 / (self.points * n * self.beta * batch) for n in nodes]
        yield contour(substrate, state, weights, inputs, free)


@dataclass(frozen=True)
class RandomSign(Estimator):
    """One nudged phase whose sign is drawn anew for every sample from the substrate's generator."""

    beta: float
    name = "random_sign"

    def contrasts(
        self, substrate: Substrate, inputs: Tensor, target: Tensor, start: Settled | None = None
    ) -> Iterator[Contrast]:
        _require_minimum(substrate, self.beta)
        free = substrate.settle(inputs, None, start)
        batch = len(inputs)
        draw = torch.rand(batch, generator=substrate.generator, device=inputs.device, dtype=inputs.dtype)
        sign = torch.where(draw < 0.5, -1.0, 1.0).to(inputs.dtype)
        nudged = substrate.settle(inputs, Nudge(self.beta * sign, target), free)
        state = [torch.cat([a, b]) for a, b in zip(nudged.state, free.state, strict=True)]
        weights = sign / (self.beta * batch)
        yield differences(substrate, state, [weights], inputs, free)


@dataclass(frozen=True)
class Continual(Estimator):
    """C-EP: after every nudged sweep, the change of the local products since the sweep before is applied at once."""

    beta: float
    name = "continual"

    def contrasts(
        self, substrate: Substrate, inputs: Tensor, target: Tensor, start: Settled | None = None
    ) -> Iterator[Contrast]:
        free = substrate.settle(inputs, None, start)
        batch = len(inputs)
        beta = torch.full((batch,), self.beta, dtype=inputs.dtype, device=inputs.device)
        weight = 1 / (self.beta * batch)
        options, before = substrate.backend.settle, free
        for _ in range(options.nudged_sweeps):
            # The weights may have moved since: nothing computed with the old ones may be reused.
            start = before.bare()
            after = substrate.settle(inputs, Nudge(beta, target, sweeps=1), start)
            state = [torch.cat([a, b]) for a, b in zip(after.state, before.state, strict=True)]
            yield differences(substrate, state, [weight], inputs, free)
            before = after
            if bool((after.residual <= options.nudged_tolerance * self.beta).all()):
                return


def make(name: str, beta: float, points: int = 4) -> Estimator:
    """The estimator called `name`; `points` is N of the holomorphic one.

    Raises:
        InputError: unknown name, beta not above 0 or not finite, or fewer than two points.
    """
    require("estimator", "beta", beta, POSITIVE, "0.1 is a good start")
    if points < 2:
        raise InputError("estimator", "points", points, rule="must be at least 2", fix="4 is a good start")
    known: dict[str, Estimator] = {
        "centered": Pairs("centered", beta, ((1.0, -1.0, 0.5),)),
        "one_sided": Pairs("one_sided", beta, ((1.0, 0.0, 1.0),)),
        "random_sign": RandomSign(beta),
        "richardson": Pairs("richardson", beta, ((1.0, -1.0, -1 / 6), (0.5, -0.5, 4 / 3))),
        "holomorphic": Holomorphic(beta, points),
        "continual": Continual(beta),
    }
    found = known.get(name.replace("-", "_"))
    if found is None:
        raise InputError("estimator", value=name, rule=f"is not one of {', '.join(NAMES)}", fix="choose one of them")
    return found


NAMES = ("centered", "one_sided", "random_sign", "richardson", "holomorphic", "continual")


@lru_cache(maxsize=16)
def _strengths(values: tuple[complex, ...], batch: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """One strength per copy of the batch, (copies * batch,); shared by all phases that ask for the same, to be read."""
    return torch.cat([torch.full((batch,), v, dtype=dtype, device=device) for v in values])


def _require_minimum(substrate: Substrate, beta: float) -> None:
    """A linear read-out has curvature 1 + beta: pushed away from its target by 1 or more, it has no energy minimum."""
    if substrate.model.loss.in_energy and beta >= 1:
        raise InputError(
            "estimator", "beta", beta, rule="must be below 1 where a squared-error read-out is nudged from its target",
            fix="use a smaller beta, or estimator one_sided",
        )  # fmt: skip


def _require_complex(substrate: Substrate) -> None:
    if not substrate.backend.complex_states:
        raise CapabilityError(
            f"backend {substrate.backend.name}", "complex_states", False,
            rule="the holomorphic estimator needs complex states", fix="use the cpu backend or estimator richardson",
        )  # fmt: skip
    if not substrate.model.smooth:
        raise CapabilityError(
            "model", "activation", substrate.model.name,
            rule="the holomorphic estimator needs smooth activations and no max pooling",
            fix="use sigmoid or tanh, or estimator richardson",
        )  # fmt: skip
