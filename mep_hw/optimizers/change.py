"""From contrasts to new values: everything is worked out and checked before any parameter changes.

Rules compute in float32 or wider whatever the format of the parameters; the result is rounded once, when stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mep_hw.errors import CheckpointError, DivergenceError
from mep_hw.optimizers.options import WHERE
from mep_hw.outersum import OuterSum, Update, checksum, dense
from mep_hw.rules import Memory, Rule


@dataclass(frozen=True)
class Proposal:
    """New values of one parameter, in its own format, and of its memory."""

    parameter: Tensor
    values: Tensor
    memory: Memory


def wide(dtype: torch.dtype) -> torch.dtype:
    """The format in which rules compute for parameters of this one."""
    return torch.promote_types(dtype, torch.float32)


def propose(parameter: Tensor, contrast: Update, memory: Memory, rule: Rule, lr: float) -> Proposal:
    """One step of `rule`; neither parameter nor memory is touched."""
    weights = parameter.detach().to(wide(parameter.dtype))
    measured = contrast if isinstance(contrast, OuterSum) else contrast.to(weights.dtype)
    update, new = rule.step(measured, memory, lr=lr, weights=weights if rule.needs_weights else None)
    return Proposal(parameter, (weights + dense(update).view_as(weights)).to(parameter.dtype), new)


def require_finite(what: str, values: Mapping[Tensor, Update], name: Callable[[Tensor], str]) -> None:
    """Raises DivergenceError, with the `name` of the parameters, unless all values, by parameter, are finite."""
    fine = [checksum(update).isfinite() for update in values.values()]
    if fine and not bool(torch.stack([f.cpu() for f in fine]).all()):
        wrong = [name(p) for p, f in zip(values, fine, strict=True) if not bool(f)]
        raise DivergenceError(
            WHERE, what, f"NaN or infinite in {', '.join(wrong)}", rule="must be finite; nothing was changed",
            fix="lower lr or beta, and check the inputs",
        )  # fmt: skip


def apply(proposals: Sequence[Proposal], state: dict[Tensor, Memory]) -> None:
    """Store what was proposed."""
    for proposal in proposals:
        proposal.parameter.detach().copy_(proposal.values)
        state[proposal.parameter] = proposal.memory


def check_memory(memory: Memory, fresh: Memory, name: str) -> Memory:
    """`memory`, if it has the entries of a `fresh` one.

    Raises:
        CheckpointError: it was written with other settings.
    """
    if {k: v.shape for k, v in memory.items()} == {k: v.shape for k, v in fresh.items()}:
        return memory
    shown = ", ".join(f"{key} {tuple(value.shape)}" for key, value in memory.items())
    wanted = ", ".join(f"{key} {tuple(value.shape)}" for key, value in fresh.items())
    raise CheckpointError(
        "optimizer state", name, shown, rule=f"must hold {wanted}",
        fix="load it into an optimizer with the settings that wrote it",
    )  # fmt: skip
