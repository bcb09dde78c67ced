"""One training step, the path every backend goes through.

    estimator -> contrast -> rule -> update -> compile -> schedule -> substrate.apply -> cost

Clipping, decay and the spectral bound are rules around the rule (`mep_hw.rules.base.Wrapper`), no steps of their own.
Biases take the same path with the same rule. A machine whose card says `exact` executes every update in full, so
nothing is owed to the next step.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Iterable, Sequence

import torch
from torch import Tensor

from mep_hw.compiler import registers
from mep_hw.contrast import Contrast
from mep_hw.distributed import ALONE, Group
from mep_hw.errors import DivergenceError, InputError, Notice
from mep_hw.estimator import Continual, Estimator
from mep_hw.outersum import Update, checksum
from mep_hw.rules import Bounded, Memory, Rule
from mep_hw.schedule import Cost
from mep_hw.state import Settled
from mep_hw.substrates.base import Substrate
from mep_hw.training.owed import Owed
from mep_hw.training.shares import Share


class TrainingStep:
    """Holds what lives from step to step: the substrate, the rule's memory and the summed cost.

    cost: of the couplings' weights in all steps so far, without biases: no card knows what registers of its host take.

    Args:
        lr: full learning rate, one number or one per layer.
        bias_lr: of the biases; None takes what their rule was made for, or lr.
        bound: spectral norm that couplings between hidden layers may reach; None leaves them free.
        method: how the bound is kept, see `mep_hw.rules.spectral`.
        frozen: couplings that are left alone, with the biases of the layers they feed.
        group: the processes that each batch is shared out to.

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
        bias_lr: float | None = None,
        bound: float | None = None,
        method: str = "hammer",
        frozen: Collection[int] = (),
        group: Group = ALONE,
    ) -> None:
        self.substrate, self.estimator, self.method, self.group = substrate, estimator, method, group
        model = substrate.model
        fed = {model.couplings[c].target for c in frozen}
        self.couplings = [c for c in model.trainable if c not in frozen]
        self.layers = [n for n, k in enumerate(model.layers, 1) if k.bias_shape is not None and n not in fed]
        capped = [] if bound is None else model.bounded
        if any(model.couplings[c].target == model.depth for c in capped):
            note = f"spectral_bound: {model.name} couples no hidden layers, so the read-out's coupling is bounded"
            warnings.warn(note, Notice, stacklevel=2)
        self.rules: dict[str, Rule] = {}
        self.memory: dict[str, Memory] = {}
        for c in self.couplings:
            own = Bounded(rule, bound, method) if bound is not None and c in capped else rule
            self._remember(f"weights.{c}", own, model.couplings[c].weight_shape)
        for n in self.layers:
            self._remember(f"biases.{n}", rule.for_biases(), model.layers[n - 1].bias_shape or ())
        if isinstance(estimator, Continual) and (rule.needs_weights or any(self.memory.values())):
            raise InputError(
                "train", "estimator", "continual",
                rule="applies several updates per batch and needs rule sgd with momentum and weight_decay 0, no bound",
                fix="set them so, or use estimator centered",
            )  # fmt: skip
        self.lr = _per_layer(lr, model.depth)
        fixed = rule.bias_lr if bias_lr is None else bias_lr
        self.bias_lr = self.lr if fixed is None else _per_layer(fixed, model.depth)
        self.owed = {c: Owed(substrate, c) for c in self.couplings}
        self.cost = Cost.none()

    def _remember(self, key: str, rule: Rule, shape: tuple[int, ...]) -> None:
        self.rules[key] = rule
        self.memory[key] = rule.init(shape, self.substrate.generator, self.substrate.dtype)

    def __call__(self, inputs: Tensor, target: Tensor, factor: float = 1.0, share: Share | None = None) -> Settled:
        """Train on one batch, (batch, *input_shape) and (batch, outputs), at `factor` times the full learning rate.

        Args:
            share: which part of the batch is given, in a job of several processes; None: all of it.

        Returns the free phase, settled before any update.

        Raises:
            DivergenceError: the contrast or an update is not finite; the weights stay as they are.
        """
        free: Settled | None = None
        for contrast in self.estimator.contrasts(self.substrate, inputs, target):
            free = contrast.free
            self._apply(contrast, inputs, factor, share)
        assert free is not None  # every estimator yields at least once
        return free

    def _apply(self, part: Contrast, inputs: Tensor, factor: float, share: Share | None = None) -> None:
        substrate, model = self.substrate, self.substrate.model
        share = share or Share.of(ALONE, len(inputs))
        contrast = share.whole(part, {c: self.rules[f"weights.{c}"] for c in self.couplings}, self.layers)
        # Of a rule that reduces, each process has a share only, and all have to refuse it if one does.
        among = self.group if any(rule.reduces for rule in self.rules.values()) else ALONE
        _require_finite("contrast", (*contrast.weights, *contrast.biases), among)
        updates: dict[str, Update] = {}
        new: dict[str, Memory] = {}
        for c in self.couplings:
            measured, key = contrast.weights[c], f"weights.{c}"
            assert measured is not None  # trainable couplings always have one
            rule, lr = self.rules[key], self.lr[model.couplings[c].target - 1] * factor
            held = substrate.read(c) if rule.needs_weights else None
            states = share.states(contrast.states(substrate, c, inputs)) if rule.needs_states else None
            updates[key], new[key] = rule.step(measured, self.memory[key], lr=lr, weights=held, states=states)
        for n in self.layers:
            measured, key = contrast.biases[n - 1], f"biases.{n}"
            assert measured is not None  # only layers with a bias are listed
            # Without weights nothing decays: a decayed bias only shifts the units' working point.
            lr = self.bias_lr[n - 1] * factor
            updates[key], new[key] = self.rules[key].step(measured, self.memory[key], lr=lr)
        _require_finite("update", updates.values())
        # All before any is executed: one refused leaves every weight as it was.
        schedules = {
            c: owed.compile(updates[f"weights.{c}"], self.rules[f"weights.{c}"].local) for c, owed in self.owed.items()
        }
        # Only now, so that a rule that refuses leaves all as it was. A checkpoint stores plain rows; in another layout
        # the same product can round differently.
        self.memory = {key: {name: v.contiguous() for name, v in memory.items()} for key, memory in new.items()}
        for c, schedule in schedules.items():
            self.cost += self.owed[c].execute(schedule)
        for n in self.layers:
            substrate.apply_bias(n, registers(updates[f"biases.{n}"]))

    def together(self) -> None:
        """Join what the rules' memories of all processes hold of each; from here every process can stand for all."""
        self.memory = {key: self.rules[key].together(memory) for key, memory in self.memory.items()}

    def hammered(self) -> tuple[int, bool] | None:
        """Outer products that the spectral bound has written so far, and whether it held after the last step.

        None without a bound by method hammer; the other methods scale, and write none.
        """
        bounds = [self.memory[key] for key, rule in self.rules.items() if isinstance(rule, Bounded)]
        if not bounds or self.method != "hammer":
            return None
        return sum(int(memory["directions"]) for memory in bounds), all(bool(memory["held"]) for memory in bounds)


def _per_layer(lr: float | Sequence[float], depth: int) -> list[float]:
    values = [float(lr)] * depth if isinstance(lr, int | float) else list(lr)
    if len(values) != depth:
        raise InputError(
            "train", "lr", lr, rule=f"needs one number, or one for each of {depth} layers", fix="give a single number"
        )
    return values


def _require_finite(what: str, values: Iterable[Update | None], group: Group = ALONE) -> None:
    parts = [checksum(value) for value in values if value is not None]
    if not math.isfinite(group.sum(torch.stack(parts).sum()).item()):  # one number, so that one read-back decides
        raise DivergenceError(
            "train", what, "nan", rule="is not finite, so the step was refused and no weight was changed",
            fix="lower lr, momentum or beta",
        )  # fmt: skip
