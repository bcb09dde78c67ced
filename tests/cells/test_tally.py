"""Counts of pulses stay exact where 32 bits would overflow."""

from __future__ import annotations

import torch

from mep_hw.cells.tally import Tally


def test_counts_are_exact_beyond_what_32_bits_hold() -> None:
    tally, wanted = Tally(3, torch.device("cpu")), torch.zeros(3, dtype=torch.int64)
    for most in (5, 2**30 - 4, 2**31 - 1, 7, 2**30 - 1, 2**29, 2**29, 2**40):
        pulses = torch.tensor([0, 1, most])
        tally.add(pulses if most > 2**31 - 1 else pulses.int())
        wanted += pulses
    assert torch.equal(tally.total(), wanted)
    tally.add(torch.tensor([1, 0, 2], dtype=torch.int32))
    assert torch.equal(tally.total(), wanted + torch.tensor([1, 0, 2]))
    assert torch.equal(tally.total(), wanted + torch.tensor([1, 0, 2]))
