"""Where contrasts come from in mode ep: a torch module with its layerwise energy, or a `mep_hw.Model`.

A source is told to remember the input of the model's last forward call, which is the free phase.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from torch import Tensor, nn

from mep_hw.errors import InputError
from mep_hw.layerwise import Layerwise
from mep_hw.model import Model
from mep_hw.optimizers.options import WHERE, Nudging
from mep_hw.outersum import Update


class Source(Protocol):
    """One model that is listened to."""

    def contrasts(self, target: Tensor, how: Nudging, wanted: Collection[Tensor]) -> dict[Tensor, Update]:
        """Per wanted parameter what approaches minus the gradient.

        Raises:
            InputError: there was no forward call, or the target does not fit its output.
        """
        ...

    def forget(self) -> None:
        """Drop the last forward call: the parameters change now."""
        ...

    def close(self) -> None:
        """Stop listening to the model."""
        ...

    def order(self) -> list[Tensor]:
        """All parameters from input to output."""
        ...


class LayerwiseSource:
    """The predictive-coding energy of a torch module."""

    def __init__(self, module: nn.Module, blocks: Sequence[nn.Module] | None) -> None:
        self.layers = Layerwise(module, blocks)

    def contrasts(self, target: Tensor, how: Nudging, wanted: Collection[Tensor]) -> dict[Tensor, Update]:
        parameters = [p for p in wanted if isinstance(p, nn.Parameter)]
        found = self.layers.contrast(
            target, beta=how.beta, estimator=how.estimator, loss=how.loss, tolerance=how.tolerance,
            sweeps=how.settle_steps, parameters=parameters,
        )  # fmt: skip
        return {p: value for p, value in found.values.items()}

    def forget(self) -> None:
        self.layers.forget()

    def close(self) -> None:
        self.layers.close()

    def order(self) -> list[Tensor]:
        return [p for block in self.layers.blocks for p in block.parameters()]


def listen(model: nn.Module | Model, blocks: Sequence[nn.Module] | None) -> Source:
    """The source for `model`.

    Raises:
        ModelError: a block that is not supported, by its path.
        InputError: blocks given for a `mep_hw.Model`, which has layers of its own.
    """
    if isinstance(model, Model):
        if blocks is not None:
            raise InputError(
                WHERE, "blocks", f"{len(blocks)} modules", rule="has no effect with a mep_hw.Model", fix="leave it out"
            )
        from mep_hw.optimizers.hopfield import HopfieldSource

        return HopfieldSource(model)
    return LayerwiseSource(model, blocks)
