"""Which kind of holder has the weights of a coupling: plain cells, slices of falling significance, or a fast and a slow
array."""

from __future__ import annotations

import torch

from mep_hw.array.bank import Bank
from mep_hw.array.holder import Holder
from mep_hw.array.sliced import Sliced
from mep_hw.array.symmetric import Symmetric
from mep_hw.array.transfer import Transferring
from mep_hw.cards.array import ArrayOptions
from mep_hw.cards.schema import DeviceCard


def make(
    options: ArrayOptions, device: DeviceCard, shape: tuple[int, int], generator: torch.Generator, dtype: torch.dtype
) -> Holder:
    """The holder that the card asks for; arguments and errors are those of `Bank`, and of `Symmetric`."""
    if options.transfer is not None:
        fast = Symmetric(options, device, shape, generator, dtype)
        return Transferring(fast, Bank(options, device, shape, generator, dtype), options.transfer)
    slices = [Bank(options, device, shape, generator, dtype) for _ in range(options.slices)]
    return slices[0] if len(slices) == 1 else Sliced(slices, options.slice_base)
