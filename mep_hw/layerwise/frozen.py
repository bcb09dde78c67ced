"""Batch statistics of the free phase, held constant while a nudged phase settles.

Batch normalisation in training mode couples the samples of a batch. Here its means and variances are taken from the
forward pass and are then constants, so that samples settle independently and running statistics move once, in the
user's forward call. The contrast is that of the frozen function: it lacks what backprop sends through the statistics.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm  # pyright: ignore[reportPrivateUsage]
from torch.utils.hooks import RemovableHandle

from mep_hw.errors import ModelError
from mep_hw.layerwise.blocks import Block


class Statistics:
    """Listens to the batch normalisations of `blocks`; `clear` before a forward pass, `frozen` after it."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        # By module and not by id, so that a deep copy of a model has those of its own modules.
        self.paths = {m: path for b in blocks for path, m in b.modules() if isinstance(m, BatchNorm)}
        self.handles: list[RemovableHandle] = [m.register_forward_pre_hook(self._hear) for m in self.paths]
        self.seen: dict[BatchNorm, tuple[Tensor, Tensor]] = {}
        self.listening = False

    def clear(self) -> None:
        """Forget the last forward pass and listen to the next."""
        self.seen, self.listening = {}, True

    def close(self) -> None:
        for handle in self.handles:
            handle.remove()

    def _hear(self, module: BatchNorm, inputs: tuple[Tensor, ...]) -> None:
        if not self.listening or not (module.training or module.running_mean is None):
            return
        if module in self.seen:
            path = self.paths[module]
            raise ModelError(
                f"module {path} ({type(module).__name__})", rule="is used twice, with statistics of its own each time",
                fix="use one module for each place",
            )  # fmt: skip
        value = inputs[0].detach()
        over = [d for d in range(value.dim()) if d != 1]
        self.seen[module] = value.mean(over), value.var(over, correction=0)

    @contextmanager
    def frozen(self) -> Generator[None]:
        """Inside, the normalisations use the statistics heard last and change no buffer."""
        held = list(self.seen)
        before = [(m.training, m.running_mean, m.running_var) for m in held]
        listening, self.listening = self.listening, False
        try:
            for module in held:
                module.training = False
                module.running_mean, module.running_var = self.seen[module]
            yield
        finally:
            self.listening = listening
            for module, (training, mean, variance) in zip(held, before, strict=True):
                module.training, module.running_mean, module.running_var = training, mean, variance


def buffers(blocks: Sequence[Block]) -> dict[str, tuple[nn.Module, int, int]]:
    """Per buffer path its module, identity and version, to see whether an evaluation changed it."""
    found: dict[str, tuple[nn.Module, int, int]] = {}
    for block in blocks:
        for path, module in block.modules():
            for name, value in module.named_buffers(recurse=False):
                found[f"{path}.{name}"] = module, id(value), value._version
    return found
