"""Learning that the machine does by itself, after every sample: the host gives samples and looks on.

Only what such a machine can mean is taken: rule hebbian, the centred estimator, one constant learning rate per layer,
nothing that changes an update afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from mep_hw.distributed import Group
from mep_hw.errors import CapabilityError
from mep_hw.estimator import Estimator, Pairs
from mep_hw.rules import Hebbian, Rule
from mep_hw.schedule import Cost
from mep_hw.state import Settled
from mep_hw.substrates.base import Substrate


class InPlace:
    """One step of a machine whose `Substrate.learns` is true.

    Args:
        lr, bias_lr: one number per layer.
        couplings, layers: that learn, couplings from 0 and layers from 1.

    Raises:
        CapabilityError: a rule, an estimator, a bound or a job that the machine does not know.
    """

    def __init__(
        self,
        substrate: Substrate,
        estimator: Estimator,
        rule: Rule,
        *,
        lr: Sequence[float],
        bias_lr: Sequence[float],
        couplings: Sequence[int],
        layers: Sequence[int],
        bound: float | None,
        group: Group,
    ) -> None:
        self.name = f"backend {substrate.backend.name}"
        if not isinstance(rule, Hebbian):
            raise self._refused("rule", rule.name, "take rule hebbian, or let the host learn")
        if not (isinstance(estimator, Pairs) and estimator.name == "centered"):
            raise self._refused("estimator", estimator.name, "take estimator centered")
        if bound is not None:
            raise self._refused("spectral_bound", bound, "leave it out")
        if group.size > 1:
            raise self._refused("processes", group.size, "start one")
        self.learn: Callable[[Tensor, Tensor], tuple[Settled, Cost]] = substrate.learner(
            estimator.beta, lr, bias_lr, couplings, layers
        )

    def __call__(self, inputs: Tensor, target: Tensor, factor: float) -> tuple[Settled, Cost]:
        """The free phase, settled before the update, and the cost of the update."""
        if factor != 1:
            raise self._refused("lr_schedule", f"{factor:g} of lr", "set it to constant, without warmup")
        return self.learn(inputs, target)

    def _refused(self, field: str, value: object, fix: str) -> CapabilityError:
        rule = "is not what a machine that learns by itself does"
        return CapabilityError(self.name, field, value, rule=rule, fix=fix)
