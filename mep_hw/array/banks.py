"""Which bank holds a coupling, and which cycles it takes: plain cells, slices of falling significance, or a fast and a
slow array.

All of them give products and keep their state in the same way.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mep_hw.array.bank import Bank
from mep_hw.array.scale import takes_pulses
from mep_hw.array.sliced import Sliced
from mep_hw.array.symmetric import Symmetric
from mep_hw.array.transfer import Transferring
from mep_hw.cards.array import ArrayOptions
from mep_hw.cards.schema import DeviceCard
from mep_hw.schedule.cost import Cost
from mep_hw.schedule.ir import Cell, Cycle, Hold, Outer, Read, Refresh, Row, Transfer

AnyBank = Bank | Sliced | Transferring
Found = tuple[Tensor | None, Cost]  # what a `Read` found, None of other cycles, and what the cycle took


def make(
    options: ArrayOptions, device: DeviceCard, shape: tuple[int, int], generator: torch.Generator, dtype: torch.dtype
) -> AnyBank:
    """The bank that the card asks for; arguments and errors are those of `Bank`, and of `Symmetric`."""
    if options.transfer is not None:
        fast = Symmetric(options, device, shape, generator, dtype)
        return Transferring(fast, Bank(options, device, shape, generator, dtype), options.transfer)
    slices = [Bank(options, device, shape, generator, dtype) for _ in range(options.slices)]
    return slices[0] if len(slices) == 1 else Sliced(slices, options.slice_base)


def executes(bank: AnyBank, cycle: Cycle) -> bool:
    """Whether such cells can be written, pulsed or read so at all, whatever the card allows."""
    match bank:
        case Transferring():
            return isinstance(cycle, Outer | Transfer | Hold)
        case Sliced():
            return isinstance(cycle, Cell | Hold)
        case Bank():
            pulsed = takes_pulses(bank.options, bank.device)
            return isinstance(cycle, Cell | Hold | Read | Refresh) or (pulsed and isinstance(cycle, Outer | Row))


def execute(bank: AnyBank, cycle: Cycle) -> Found:
    """One cycle that `executes` allows."""
    match bank, cycle:
        case _, Hold(seconds):
            bank.wait(seconds, compensate=False)
            return None, replace(Cost.none(), time_s=seconds)
        case Transferring(), Outer():
            return None, bank.pulse(cycle)
        case Bank(), Outer() | Row():
            return None, bank.pulse(cycle)
        case Transferring(), Transfer():
            return None, bank.transfer(cycle)
        case ((Sliced() | Bank()), Cell()):
            return None, bank.verify(cycle)
        case Bank(), Refresh():
            return None, bank.refresh(cycle)
        case Bank(), Read():
            return bank.look(cycle)
        case _:
            raise TypeError(f"{type(bank).__name__} does not execute {type(cycle).__name__}")
