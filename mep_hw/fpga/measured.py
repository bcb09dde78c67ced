"""What quantising costs: answers and contrasts of a model in whole numbers against the same model on `cpu` in float64.

Two figures. `changed` is the share of samples with another answer (the largest output) than on `cpu`; the accuracy
falls by no more than that, and unlike the accuracy it also tells for a model that has learned nothing. The cosine of
each coupling's contrast, of the first samples together, says whether the nudge arrives at that layer.

Samples stand for those that are to come only if the model has not been trained on them. Test samples are not for this:
formats chosen on them would be fitted to them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from mep_hw import estimator, machine
from mep_hw.cards import load_backend
from mep_hw.data import one_hot
from mep_hw.fpga.numbers import Reals, reals, whole_inputs, whole_targets
from mep_hw.fpga.oracle import States
from mep_hw.fpga.spec import Spec, Values, Whole
from mep_hw.gradcheck import precise
from mep_hw.model import Model
from mep_hw.outersum import dense
from mep_hw.substrates.base import Substrate

SAMPLES = 256  # the first of them, of which the contrast is taken
BATCH = 500  # samples that `cpu` settles together

Settle: TypeAlias = Callable[[Spec, Values, Whole, States, int, Whole | None, Whole | None], States]
"""What settles: `mep_hw.fpga.oracle.settle`, or another executable's function of the same arguments."""


@dataclass(frozen=True)
class Reference:
    """Samples, and what `cpu` makes of them.

    inputs: (n, *input_shape), less the model's offset. targets: (n, outputs). labels: (n,), None for real targets.
    answers: (n,) largest outputs. largest: size of the largest output. contrasts: of each coupling, with `beta`.
    """

    inputs: Tensor
    targets: Tensor
    labels: Tensor | None
    answers: Tensor
    largest: float
    contrasts: tuple[Reals, ...]
    beta: float

    @property
    def accuracy(self) -> float | None:
        """Of `cpu`; None for real targets."""
        return None if self.labels is None else float((self.answers == self.labels).double().mean())


@dataclass(frozen=True)
class Measured:
    """accuracy: None for real targets. changed: share of answers. cosines: of each coupling; 0 for a contrast of 0."""

    accuracy: float | None
    changed: float
    cosines: tuple[float, ...]


def reference(model: Model, x: Tensor, y: Tensor, beta: float) -> Reference:
    """Settle the samples on `cpu`, in float64 and to the end.

    Args:
        x: (n, *input_shape) or (n, features). y: labels (n,), or targets (n, outputs).
    """
    twin = Model(model.spec, dtype=torch.float64)
    twin.load_tensors(model.tensors(), model.name)
    inputs = twin.centred(x.double().reshape(-1, *model.input_shape))
    labels = y if y.dim() == 1 else None
    targets = y.double() if labels is None else one_hot(labels, model.outputs, torch.float64)
    with machine.build(twin, precise(load_backend("cpu"), beta), None, 0) as cpu:
        outputs = torch.cat([cpu.settle(part).output for part in inputs.split(BATCH)])
        contrasts = _contrasts(cpu, inputs[:SAMPLES], targets[:SAMPLES], beta)
    return Reference(inputs, targets, labels, outputs.argmax(1), float(outputs.abs().max()), contrasts, beta)


def measure(known: Reference, spec: Spec, values: Values, free: States, settle: Settle) -> Measured:
    """What answers and contrasts are worth, from the states of layers 1 to L (n, units) after the free phase."""
    answers = torch.from_numpy(free[-1].argmax(1))
    return Measured(
        None if known.labels is None else float((answers == known.labels).double().mean()),
        float((answers != known.answers).double().mean()),
        tuple(
            _cosine(a, b)
            for a, b in zip(_whole_contrasts(known, spec, values, free, settle), known.contrasts, strict=True)
        ),
    )


def _whole_contrasts(known: Reference, spec: Spec, values: Values, free: States, settle: Settle) -> tuple[Reals, ...]:
    """Of each coupling, the sum over the first samples of s+ s+^T - s- s-^T, in units of the formats."""
    x, target = whole_inputs(spec, known.inputs[:SAMPLES]), whole_targets(spec, known.targets[:SAMPLES])
    start, beta = tuple(s[:SAMPLES] for s in free), np.full(len(x), spec.beta, dtype=np.int64)
    plus = (x, *settle(spec, values, x, start, spec.nudged_steps, beta, target))
    minus = (x, *settle(spec, values, x, start, spec.nudged_steps, -beta, target))
    # As floating-point numbers, whose rounding is far below that of the states.
    one, other = ([s.astype(np.float64) for s in phase] for phase in (plus, minus))
    return tuple(one[c + 1].T @ one[c] - other[c + 1].T @ other[c] for c in range(spec.depth))


def _contrasts(cpu: Substrate, inputs: Tensor, targets: Tensor, beta: float) -> tuple[Reals, ...]:
    (found,) = estimator.make("centered", beta).contrasts(cpu, inputs, targets)
    return tuple(reals(dense(update)) for update in found.weights if update is not None)


def _cosine(one: Reals, other: Reals) -> float:
    size = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float((one * other).sum()) / size if size else 0.0
