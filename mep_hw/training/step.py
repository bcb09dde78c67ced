"""One training step, the path every backend goes through.

    estimator -> contrast -> rule -> update -> compile -> schedule -> substrate.apply -> cost

Biases take the same path with the same rule. A machine whose card says `exact` executes every update in full, so
nothing is owed to the next step.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from mep_hw.errors import InputError
from mep_hw.estimator import Continual, Contrast, Estimator
from mep_hw.model import Model
from mep_hw.rules import Memory, Rule
from mep_hw.rules.sgd import Sgd
from mep_hw.schedule import Cost, compile
from mep_hw.settle import Settled
from mep_hw.substrates.base import Substrate


class TrainingStep:
    """Holds what lives from step to step: the substrate, the rule's memory and the summed cost.

    Args:
        frozen: couplings that are left alone, with the biases of the layers they feed.

    Raises:
        InputError: the rule keeps a memory over steps, which continual EP's many small updates would distort.
    """

    def __init__(self, substrate: Substrate, estimator: Estimator, rule: Rule, frozen: Collection[int] = ()) -> None:
        if isinstance(estimator, Continual) and not (isinstance(rule, Sgd) and not rule.momentum and not rule.weight_decay):
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
        self.cost = Cost.none()

    def __call__(self, inputs: Tensor, target: Tensor, lr: float) -> Settled:
        """Train on one batch, (batch, *input_shape) and (batch, outputs); returns the free phase, settled beforehand."""
        free: Settled | None = None
        for contrast in self.estimator.contrasts(self.substrate, inputs, target):
            free = contrast.free
            self._apply(contrast, lr)
        assert free is not None  # every estimator yields at least once
        return free

    def _apply(self, contrast: Contrast, lr: float) -> None:
        substrate, rule = self.substrate, self.rule
        for c in self.couplings:
            measured, key = contrast.weights[c], f"weights.{c}"
            assert measured is not None  # trainable couplings always have one
            weights = substrate.read(c) if rule.needs_weights else None
            update, self.memory[key] = rule.step(measured, self.memory[key], lr=lr, weights=weights)
            schedule = compile(update, None, substrate.backend, substrate.device)
            self.cost += substrate.apply(c, schedule)
        for n in self.layers:
            measured, key = contrast.biases[n - 1], f"biases.{n}"
            assert measured is not None  # only layers with a bias are listed
            # L2 decay is for couplings: a decayed bias only shifts the units' working point.
            update, self.memory[key] = rule.step(measured, self.memory[key], lr=lr)
            schedule = compile(update, None, substrate.backend, substrate.device)
            self.cost += substrate.apply_bias(n, schedule)


def hidden(model: Model) -> list[int]:
    """Couplings that a control run freezes: all but those that end in the read-out."""
    return [c for c, k in enumerate(model.couplings) if k.target < model.depth]


def correct(settled: Settled, labels: Tensor) -> Tensor:
    """Per sample, whether the largest output is the label; for real-valued targets (n, k), whether the maxima agree."""
    truth = labels if labels.dim() == 1 else labels.argmax(1)
    return settled.output.argmax(1) == truth


def batches(count: int, size: int, seed: int | None = None) -> Sequence[Tensor]:
    """Index tensors that cover `count` samples once, shuffled when a seed is given; the last may be smaller."""
    if seed is None:
        return torch.arange(count).split(size)
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed)).split(size)
