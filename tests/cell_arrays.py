"""What the tests of cells share: arrays at one weight, all pulsed alike, and how far two samples may lie apart."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mep_hw.cards import DeviceCard, load_device
from mep_hw.cells import Cells


def device(name: str, **changes: object) -> DeviceCard:
    """The bundled card with fields changed; `spread=None` takes all spread away, `noise__cycle=0.0` one number."""
    bundled = load_device(name)
    data = bundled.model_dump()
    for path, value in changes.items():
        *blocks, field = path.split("__")
        block = data
        for key in blocks:
            block = block[key]
        assert field in block, path
        if isinstance(block[field], dict) and "value" in block[field] and not isinstance(value, dict):
            block[field]["value"] = value
        else:
            block[field] = value
    made = DeviceCard.model_validate(data)
    made._path = bundled.path  # pyright: ignore[reportPrivateUsage]  # tables lie beside the card
    return made


def cells(card: DeviceCard, count: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Cells:
    return Cells(card, (count,), torch.Generator().manual_seed(seed), dtype)


def at(card: DeviceCard, weight: float, count: int, seed: int = 0) -> Cells:
    """Cells that were all set to one weight; those whose bounds forbid it are at the bound."""
    made = cells(card, count, seed)
    made.set(torch.full((count,), weight, dtype=torch.float64))
    return made


def counts(shape: Sequence[int], number: int) -> Tensor:
    return torch.full(tuple(shape), number, dtype=torch.int64)


def mean_and_error(sample: Tensor) -> tuple[float, float]:
    """Mean of a sample and its standard error."""
    return float(sample.mean()), float(sample.std()) / math.sqrt(sample.numel())


def variance_and_error(sample: Tensor) -> tuple[float, float]:
    """Variance of a sample and its standard error, by its own fourth moment."""
    squares = (sample - sample.mean()) ** 2
    return float(squares.mean()), float(squares.std()) / math.sqrt(sample.numel())
