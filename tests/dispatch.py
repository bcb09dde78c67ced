"""What torch is asked to do: kernels that are launched, and what makes the host wait for another device.

`moved` puts a training step on another device, which may be `meta`, torch's device without values: an operator that
mixes places or needs a value raises there, and `Launches(refuse=True)` finds what would only wait.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mep_hw.rules.base import Memory
from mep_hw.training.finite import Finite
from mep_hw.training.step import TrainingStep

# What tells the host values or sizes, or asks whether a decomposition has converged.
READS = {
    "_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "_unique2", "unique_dim",
    "unique_consecutive", "repeat_interleave", "_linalg_svd", "_linalg_eigh", "linalg_eig", "linalg_cholesky_ex",
    "_linalg_solve_ex", "linalg_lstsq", "linalg_inv_ex", "_linalg_det", "_linalg_slogdet",
}  # fmt: skip
COPIES = {"_to_copy", "copy_", "copy"}
# No kernels.
FREE = {
    "empty",
    "empty_strided",
    "new_empty",
    "new_empty_strided",
    "empty_like",
    "detach",
    "lift_fresh",
    "_unsafe_view",
}


class Read(AssertionError):
    """The host asked for what a device holds."""


class Launches(TorchDispatchMode):
    """Counts operators that work on tensors of a device other than the CPU, without views and bare allocations.

    refuse: raise `Read` where the host would wait for a device that is not the CPU.
    """

    def __init__(self, refuse: bool = False) -> None:
        super().__init__()
        self.refuse = refuse
        self.counts: Counter[str] = Counter()
        self.quiet = False

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        if self.refuse:
            _require_no_wait(name, args, (kwargs or {}).get("device"))
        result = func(*args, **(kwargs or {}))
        if not (self.quiet or func.is_view or name in FREE) and _away((args, result)):
            self.counts[name] += 1
        return result

    def aside(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """`call`, with what it launches not counted."""

        def uncounted(*args: Any, **kwargs: Any) -> Any:
            before, self.quiet = self.quiet, True
            try:
                return call(*args, **kwargs)
            finally:
                self.quiet = before

        return uncounted


def _away(values: Any) -> bool:
    if isinstance(values, Tensor):
        return values.device.type != "cpu"
    return isinstance(values, tuple | list) and any(_away(value) for value in values)


def _require_no_wait(name: str, args: Sequence[Any], goal: torch.device | None) -> None:
    places = {value.device.type for value in args if isinstance(value, Tensor)}
    if name in COPIES and len(places if goal is None else places | {goal.type}) > 1:
        raise Read(f"{name} between places")
    if name in READS and args[0].device.type != "cpu":
        raise Read(name)
    if name in ("index", "index_put", "index_put_") and args[0].device.type != "cpu":
        for place in args[1]:
            if place is not None and (place.dtype in (torch.bool, torch.uint8) or place.device != args[0].device):
                raise Read(f"{name} by a mask, or by an index from elsewhere")


def moved(step: TrainingStep, place: torch.device) -> None:
    """Put what a step on the `cpu` substrate holds on `place`, with the values it has where that can hold any.

    Counters of rules stay on the CPU, as their `init` has them on every machine.
    """
    substrate = step.substrate
    substrate.torch_device, step.finite = place, Finite(place)
    substrate.weights = [value.to(place) for value in substrate.weights]  # pyright: ignore[reportAttributeAccessIssue]
    substrate.biases = [None if value is None else value.to(place) for value in substrate.biases]

    def lies(memory: Memory) -> Memory:
        return {
            name: value.to(place) if value.is_floating_point() else torch.tensor(value.item())
            for name, value in memory.items()
        }

    step.memory = {key: lies(memory) for key, memory in step.memory.items()}
