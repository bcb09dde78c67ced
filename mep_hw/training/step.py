"""One training step, the path every backend goes through.

    estimator -> contrast -> rule -> update -> compile -> schedule -> substrate.apply -> cost

Clipping, decay and the spectral bound are rules around the rule (`mep_hw.rules.base.Wrapper`), no steps of their own.
Biases take the same path with the same rule. A machine whose card says `exact` executes every update in full, so
nothing is owed to the next step. A machine that learns by itself (`Substrate.learns`) is only given samples.

Rules get all weights at once (`Rule.steps`), and a step on a GPU with exact weights
and a fixed number of sweeps never waits for the device: what is not finite is found by later looks
(`mep_hw.training.finite`). Rule natural and the spectral bound decompose matrices, which waits.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Sequence

from torch import Tensor

from mep_hw.compiler import registers
from mep_hw.contrast import Contrast
from mep_hw.distributed import ALONE, Group
from mep_hw.errors import InputError, Notice
from mep_hw.estimator import Continual, Estimator
from mep_hw.outersum import Update
from mep_hw.rules import Asked, Bounded, Memory, Rule
from mep_hw.schedule import Cost
from mep_hw.state import Settled
from mep_hw.substrates.base import Substrate
from mep_hw.training.finite import Finite
from mep_hw.training.in_place import InPlace
from mep_hw.training.owed import Owed
from mep_hw.training.shares import Share


class TrainingStep:
    """Holds what lives from step to step: the substrate, the rule's memory and the summed cost.

    cost: of the couplings' weights in all steps so far, without biases: no card knows what registers of its host take.
    finite: whether all updates were; to be asked now and then where the machine is not the host.

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
        bounded = rule if bound is None else Bounded(rule, bound, method)
        for c in self.couplings:
            self._remember(f"weights.{c}", bounded if c in capped else rule, model.couplings[c].weight_shape)
        biases = rule.for_biases()
        for n in self.layers:
            self._remember(f"biases.{n}", biases, model.layers[n - 1].bias_shape or ())
        self.by_rule: list[tuple[Rule, list[str]]] = [
            (one, [key for key, other in self.rules.items() if other is one])
            for one in {id(one): one for one in self.rules.values()}.values()
        ]
        if isinstance(estimator, Continual) and (rule.needs_weights or any(self.memory.values())):
            raise InputError(
                "train", "estimator", "continual",
                rule="applies several updates per batch and needs rule sgd with momentum and weight_decay 0, no bound",
                fix="set them so, or use estimator centered",
            )  # fmt: skip
        self.lr = _per_layer(lr, model.depth)
        fixed = rule.bias_lr if bias_lr is None else bias_lr
        self.bias_lr = self.lr if fixed is None else _per_layer(fixed, model.depth)
        self.in_place: InPlace | None = None
        if substrate.learns:
            self.in_place = InPlace(
                substrate, estimator, rule, lr=self.lr, bias_lr=self.bias_lr, couplings=self.couplings,
                layers=self.layers, bound=bound, group=group,
            )  # fmt: skip
        self.owed = {c: Owed(substrate, c) for c in self.couplings}
        self.cost = Cost.none()
        # Of a rule that reduces, each process has a share only, and all have to refuse it if one does.
        among = group if any(rule.reduces for rule in self.rules.values()) else ALONE
        self.finite = Finite(substrate.torch_device, among)

    def _remember(self, key: str, rule: Rule, shape: tuple[int, ...]) -> None:
        self.rules[key] = rule
        self.memory[key] = rule.init(shape, self.substrate.generator, self.substrate.dtype)

    def __call__(self, inputs: Tensor, target: Tensor, factor: float = 1.0, share: Share | None = None) -> Settled:
        """Train on one batch, (batch, *input_shape) and (batch, outputs), at `factor` times the full learning rate.

        Args:
            share: which part of the batch is given, in a job of several processes; None: all of it.

        Returns the free phase, settled before any update.

        Raises:
            DivergenceError: the contrast or an update is not finite; the weights stay as they are. On a device apart
                from the host that is found later, by `finite.look`.
        """
        if self.in_place is not None:
            free, cost = self.in_place(inputs, target, factor)
            self.cost += cost
            return free
        free: Settled | None = None
        for contrast in self.estimator.contrasts(self.substrate, inputs, target):
            free = contrast.free
            self._apply(contrast, inputs, factor, share)
        assert free is not None  # every estimator yields at least once
        return free

    def _apply(self, part: Contrast, inputs: Tensor, factor: float, share: Share | None = None) -> None:
        substrate = self.substrate
        share = share or Share.of(ALONE, len(inputs))
        contrast = share.whole(part, {c: self.rules[f"weights.{c}"] for c in self.couplings}, self.layers)
        self.finite.contrast((*contrast.weights, *contrast.biases))
        updates: dict[str, Update] = {}
        new: dict[str, Memory] = {}
        for rule, keys in self.by_rule:
            asked = self._asked(keys, contrast, share, inputs, factor)
            for key, (update, memory) in zip(keys, rule.steps(asked), strict=True):
                updates[key], new[key] = update, memory
        self.finite.updates(list(updates.values()))
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

    def _asked(
        self, keys: Sequence[str], contrast: Contrast, share: Share, inputs: Tensor, factor: float
    ) -> Iterator[Asked]:
        """What the rule of these weights and biases is given; weights are read when it is their turn."""
        substrate = self.substrate
        for key in keys:
            kind, number = key.split(".")
            k, rule = int(number), self.rules[key]
            if kind == "biases":
                measured = contrast.biases[k - 1]
                assert measured is not None  # only layers with a bias are listed
                # Without weights nothing decays: a decayed bias only shifts the units' working point.
                yield Asked(measured, self.memory[key], self.bias_lr[k - 1] * factor)
                continue
            measured = contrast.weights[k]
            assert measured is not None  # trainable couplings always have one
            lr = self.lr[substrate.model.couplings[k].target - 1] * factor
            held = substrate.read(k) if rule.needs_weights else None
            states = share.states(contrast.states(substrate, k, inputs)) if rule.needs_states else None
            yield Asked(measured, self.memory[key], lr, held, states)

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
