"""One training step, the path every backend goes through.

    estimator -> contrast -> rule -> update -> (cap) -> compile -> schedule -> substrate.apply -> cost

Biases take the same path with the same rule. A machine whose card says `exact` executes every update in full, so
nothing is owed to the next step.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from mep_hw.contrast import Contrast
from mep_hw.errors import InputError
from mep_hw.estimator import Continual, Estimator
from mep_hw.model import Model
from mep_hw.rules import Memory, Rule, spectral
from mep_hw.rules.sgd import Sgd
from mep_hw.schedule import Cost, compile
from mep_hw.state import Settled
from mep_hw.substrates.base import Substrate


class TrainingStep:
    """Holds what lives from step to step: the substrate, the rule's memory and the summed cost.

    Args:
        lr: full learning rate, one number or one per layer.
        bound: spectral norm that couplings between hidden layers may reach; None leaves them free.
        frozen: couplings that are left alone, with the biases of the layers they feed.

    Raises:
        InputError: the rule keeps a memory over steps, which continual EP's many small updates would distort.
    """

    def __init__(
        self,
        substrate: Substrate,
        estimator: Estimator,
        rule: Rule,
        *,
        lr: float | Sequence[float],
        bound: float | None = None,
        frozen: Collection[int] = (),
    ) -> None:
        if isinstance(estimator, Continual) and not (
            isinstance(rule, Sgd) and not rule.momentum and not rule.weight_decay
        ):
            raise InputError(
                "train", "estimator", "continual",
                rule="applies several updates per batch and needs rule sgd with momentum 0 and weight_decay 0",
                fix="set them so, or use estimator centered",
            )  # fmt: skip
        self.substrate, self.estimator, self.rule = substrate, estimator, rule
        model, dtype = substrate.model, substrate.dtype
        fed = {model.couplings[c].target for c in frozen}
        self.couplings = [c for c in model.trainable if c not in frozen]
        self.layers = [n for n, k in enumerate(model.layers, 1) if k.bias_shape is not None and n not in fed]
        shapes = {f"weights.{c}": model.couplings[c].weight_shape for c in self.couplings}
        shapes |= {f"biases.{n}": model.layers[n - 1].bias_shape or () for n in self.layers}
        self.memory: dict[str, Memory] = {k: rule.init(s, substrate.generator, dtype) for k, s in shapes.items()}
        self.lr = _per_layer(lr, model.depth)
        self.bound, self.capped = bound, [] if bound is None else [c for c in bounded(model) if c not in frozen]
        for c in self.capped:
            self.memory[f"cap.{c}"] = spectral.start(model.couplings[c].weight_shape, substrate.generator, dtype)
        self.cost = Cost.none()

    def __call__(self, inputs: Tensor, target: Tensor, factor: float = 1.0) -> Settled:
        """Train on one batch, (batch, *input_shape) and (batch, outputs), at `factor` times the full learning rate.

        Returns the free phase, settled before any update.
        """
        free: Settled | None = None
        for contrast in self.estimator.contrasts(self.substrate, inputs, target):
            free = contrast.free
            self._apply(contrast, factor)
        assert free is not None  # every estimator yields at least once
        return free

    def _apply(self, contrast: Contrast, factor: float) -> None:
        substrate, rule = self.substrate, self.rule
        for c in self.couplings:
            measured, key = contrast.weights[c], f"weights.{c}"
            assert measured is not None  # trainable couplings always have one
            lr = self.lr[substrate.model.couplings[c].target - 1] * factor
            weights = substrate.read(c) if rule.needs_weights or c in self.capped else None
            update, self.memory[key] = rule.step(measured, self.memory[key], lr=lr, weights=weights)
            if self.bound is not None and weights is not None and c in self.capped:
                update, self.memory[f"cap.{c}"] = spectral.cap(update, self.memory[f"cap.{c}"], weights, self.bound)
            schedule = compile(update, None, substrate.backend, substrate.device)
            self.cost += substrate.apply(c, schedule)
        for n in self.layers:
            measured, key = contrast.biases[n - 1], f"biases.{n}"
            assert measured is not None  # only layers with a bias are listed
            # L2 decay is for couplings: a decayed bias only shifts the units' working point.
            update, self.memory[key] = rule.step(measured, self.memory[key], lr=self.lr[n - 1] * factor)
            schedule = compile(update, None, substrate.backend, substrate.device)
            self.cost += substrate.apply_bias(n, schedule)


def hidden(model: Model) -> list[int]:
    """Couplings that a control run freezes: all but those that end in the read-out."""
    return [c for c, k in enumerate(model.couplings) if k.target < model.depth]


def bounded(model: Model) -> list[int]:
    """Couplings that a spectral bound is for: those between hidden layers; where there are none, the read-out's."""
    between = [c for c in model.trainable if model.couplings[c].source > 0]
    return [c for c in between if model.couplings[c].target < model.depth] or between


def _per_layer(lr: float | Sequence[float], depth: int) -> list[float]:
    values = [float(lr)] * depth if isinstance(lr, int | float) else list(lr)
    if len(values) != depth:
        raise InputError(
            "train", "lr", lr, rule=f"needs one number, or one for each of {depth} layers", fix="give a single number"
        )
    return values


def correct(settled: Settled, labels: Tensor) -> Tensor:
    """Per sample, whether the largest output is the label; for real-valued targets (n, k), whether the maxima agree."""
    truth = labels if labels.dim() == 1 else labels.argmax(1)
    return settled.output.argmax(1) == truth


def batches(count: int, size: int, seed: int | None = None) -> Sequence[Tensor]:
    """Index tensors that cover `count` samples once, shuffled when a seed is given; the last may be smaller."""
    if seed is None:
        return torch.arange(count).split(size)
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed)).split(size)
