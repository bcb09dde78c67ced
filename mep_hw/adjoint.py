"""The exact gradient of the loss at a settled state, by the implicit function theorem, in float64.

A settled state s*(theta) has dE/ds = 0 for its free units, those not held at an end of a box. Differentiating that with
respect to theta gives the gradient of L = mean_b C(s*(x_b; theta), y_b) from one symmetric linear system per sample:

    H lambda = dC/ds,    H = d2E/ds2 over the free units
    dL/dtheta = dC/dtheta - d/dtheta <dE/ds, lambda>          (dC/dtheta: a cross-entropy read-out, outside the energy)

Everything here is differentiated by autograd from `mep_hw.model.energy` and the cost, so it shares no product, no order
of sweeps and no finite difference with what it is used to check (Pineda 1987, Phys. Rev. Lett. 59, 2229).

Not valid where L has a kink, which is where a unit is just entering or leaving saturation or two inputs of a max pool
tie: the derivative of one side is returned. Not valid when the state is no fixed point, and then it says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mep_hw.activation import Activation, Box
from mep_hw.energy import energy
from mep_hw.errors import InputError
from mep_hw.krylov import solve
from mep_hw.model import Model

FIXED_POINT = 1e-9  # largest step of a state entry towards its minimum, in state units, that counts as settled
ACCEPTED = 1e-8  # relative residual of the linear system, in the norm that its diagonal scales
_ROUNDING = torch.finfo(torch.float64).eps


class AdjointError(InputError):
    """No exact gradient exists here: the state is not settled, or its energy is flat in some direction."""


@dataclass(frozen=True)
class ExactGradient:
    """+dL/dW per coupling (None: not trained), +dL/db per layer (None: no bias), all float64.

    loss: mean of C over the batch.
    definite: (batch,) whether H was positive definite; where not, the state is a saddle, which no energy descent keeps.
    free: (batch,) share of units that were not held at a bound.
    """

    weights: list[Tensor | None]
    biases: list[Tensor | None]
    loss: float
    definite: Tensor
    free: Tensor


def exact_gradient(
    model: Model,
    state: Sequence[Tensor],
    inputs: Tensor,
    target: Tensor,
    *,
    weights: Sequence[Tensor] | None = None,
    biases: Sequence[Tensor | None] | None = None,
) -> ExactGradient:
    """The gradient of the batch mean of the cost at a settled free state.

    Args:
        model: structure, and the parameters where they are not given.
        state: s_1 .. s_L, each (batch, *layer.shape); with cross entropy the last one is not used.
        inputs: (batch, *input_shape).
        target: (batch, outputs), one-hot or real-valued.
        weights, biases: parameters to use in place of the model's own, such as those that a machine holds.

    Raises:
        AdjointError: `state` is not a minimum to within FIXED_POINT, or H is singular to within rounding.
    """
    at = _Point(model, weights or model.weights, biases or model.biases, state, inputs)
    output = at.values[-1] if model.loss.in_energy else at.logits()
    loss = model.loss.of(output, target.double())
    definite = torch.ones(len(inputs), dtype=torch.bool, device=inputs.device)
    free = torch.ones(len(inputs), dtype=torch.float64, device=inputs.device)
    objective = loss
    if at.units:  # a cross-entropy model without hidden layers has no state at all
        at.require_settled()
        pull = _flat(torch.autograd.grad(loss.sum(), at.units, retain_graph=True, materialize_grads=True))
        multiplier, definite = _multiplier(at, pull * at.free)
        objective = loss - (at.slope * multiplier).sum(1)
        free = at.free.double().mean(1)
    trained = [at.weights[c] for c in model.trainable]
    present = [b for b in at.biases if b is not None]
    found = iter(torch.autograd.grad(objective.mean(), [*trained, *present], materialize_grads=True))
    by_coupling = {c: next(found) for c in model.trainable}
    return ExactGradient(
        [by_coupling.get(c) for c in range(len(model.couplings))],
        [None if b is None else next(found) for b in at.biases],
        float(loss.detach().mean()), definite, free,
    )  # fmt: skip


class _Point:
    """The energy around one state: its slope as a differentiable function, and products with its curvature."""

    def __init__(
        self,
        model: Model,
        weights: Sequence[Tensor],
        biases: Sequence[Tensor | None],
        state: Sequence[Tensor],
        inputs: Tensor,
    ) -> None:
        self.model, self.inputs = model, inputs.detach().double()
        self.weights = [_leaf(w) for w in weights]
        self.biases = [None if b is None else _leaf(b) for b in biases]
        activations = [layer.activation for layer in model.layers]
        self.values = [_leaf(_inside(a, s.detach().double())) for a, s in zip(activations, state, strict=True)]
        inside = model.depth if model.loss.in_energy else model.depth - 1
        self.units = self.values[:inside]
        if not self.units:
            return
        total = energy(model, self.weights, self.biases, self.values, self.inputs).sum()
        self.slope = _flat(torch.autograd.grad(total, self.units, create_graph=True))
        pairs = list(zip(activations, self.units, strict=False))
        self.free = _flat([_between_bounds(a, s) for a, s in pairs])
        # G'': with the neighbours held, -slope / G'' is a Newton step of one unit; it also scales the linear system.
        self.stiffness = _flat([_stiffness(a, s) for a, s in pairs])

    def logits(self) -> Tensor:
        """The read-out that a cross-entropy model keeps outside its energy."""
        bias, values = self.biases[-1], [self.inputs, *self.values]
        total = self.inputs.new_zeros(len(self.inputs), self.model.outputs)
        for c in self.model.incoming[self.model.depth]:
            coupling = self.model.couplings[c]
            total = total + coupling.forward(values[coupling.source], self.weights[c])
        return total if bias is None else total + bias

    def require_settled(self) -> None:
        """Every unit is where it minimises the energy, its range respected."""
        worst, move = 0.0, (-self.slope.detach() / self.stiffness).split([u[0].numel() for u in self.units], 1)
        for layer, unit, step in zip(self.model.layers, self.units, move, strict=False):
            value = unit.detach().flatten(1)
            if isinstance(layer.activation, Box):
                step = (value + step).clamp(layer.activation.low, layer.activation.high) - value
            worst = max(worst, float(step.abs().max()))
        if not worst <= FIXED_POINT:  # also true for NaN
            raise AdjointError(
                "state", "distance from the fixed point", f"{worst:.3g}", rule=f"must be at most {FIXED_POINT:g}",
                fix="settle in float64 with tolerance 1e-12 and more sweeps; smaller couplings settle faster",
            )  # fmt: skip

    def curve(self, direction: Tensor) -> Tensor:
        """H @ direction per sample, (batch, units); held units neither move nor pull."""
        moved = torch.autograd.grad(self.slope, self.units, direction * self.free, retain_graph=True)
        return _flat(moved) * self.free


def _multiplier(at: _Point, pull: Tensor) -> tuple[Tensor, Tensor]:
    """lambda with H lambda = pull, and per sample whether H was positive definite."""
    scale = at.stiffness.rsqrt()  # smooth units near their ends are many orders stiffer than the others
    solved = solve(lambda direction: scale * at.curve(scale * direction), scale * pull)
    worst = float(solved.residual.max())
    if not worst <= ACCEPTED:
        raise AdjointError(
            "energy", "relative residual of the adjoint system", f"{worst:.3g}", rule=f"must be at most {ACCEPTED:g}",
            fix="the energy is flat in some direction at this state; use smaller couplings",
        )  # fmt: skip
    return scale * solved.solution, solved.definite


def _leaf(value: Tensor) -> Tensor:
    return value.detach().to(torch.float64, copy=True).requires_grad_()


def _flat(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat([part.flatten(1) for part in parts], 1)


def _inside(activation: Activation | None, value: Tensor) -> Tensor:
    """Smooth units that float64 rounded to an end of their open range, moved in by one rounding error.

    At the end itself G'' is infinite; one rounding error inside it is large enough that the unit does not move either.
    """
    if activation is None or isinstance(activation, Box):
        return value
    inward = activation.rho(torch.zeros_like(value)) - value
    return torch.where(activation.inverse(value).isfinite(), value, value + _ROUNDING * inward)


def _between_bounds(activation: Activation | None, value: Tensor) -> Tensor:
    if not isinstance(activation, Box):
        return torch.ones_like(value, dtype=torch.bool)
    return (value > activation.low) & (value < activation.high)


def _stiffness(activation: Activation | None, value: Tensor) -> Tensor:
    """G''(s) elementwise."""
    if activation is None:
        return torch.ones_like(value)
    at = _leaf(value)
    slope = torch.autograd.grad(activation.potential(at).sum(), at, create_graph=True)[0]
    return torch.autograd.grad(slope.sum(), at)[0]
