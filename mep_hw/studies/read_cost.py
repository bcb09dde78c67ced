"""What a noisy product through arrays costs on this machine, next to the plain float32 product of the same size.

7-bit DAC, 9-bit ADC, read noise; without wires, which cost nothing per read (`array.wires`). All are timed in turn
(`studies.timing`); ratios are to the plain product of the same round. Weights 0.2 * normal, states uniform in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mep_hw.array.mapping import Mapping
from mep_hw.array.tiled import Tiled
from mep_hw.cards.array import ArrayOptions, Converter, Periphery, ReadNoise
from mep_hw.studies.timing import in_turn

PLAIN = "float32 product"
PERIPHERY = Periphery(dac=Converter(bits=7, range=1.0), adc=Converter(bits=9, range=12.0))


def read_costs(size: int, batch: int, tile: int, rounds: int) -> list[dict[str, Any]]:
    """Rows {read ms ratio ratio_quartiles}.

    Args:
        size: the coupling is size x size.
        batch: states per read.
        tile: side of the arrays of the last row.
        rounds: timed products of each kind.
    """
    generator = torch.Generator().manual_seed(0)
    weights = (0.2 * torch.randn(size, size, generator=generator)).clamp(-1, 1)
    states = 2 * torch.rand(batch, size, generator=generator) - 1
    same, own = ReadNoise(absolute=0.01), ReadNoise(relative=0.01)
    one = _coupling(weights, size, same)
    subjects: dict[str, Callable[[Tensor], Tensor]] = {
        PLAIN: lambda x: x @ weights.T,
        "forward": one.product,
        "transposed": one.product_transposed,
        "forward, noise by conductance": _coupling(weights, size, own).product,
        f"forward, arrays of {tile}": _coupling(weights, tile, same).product,
    }
    calls = {name: partial(product, states) for name, product in subjects.items()}
    return [{"read": row.pop("name"), **row} for row in in_turn(calls, PLAIN, rounds)]


def _coupling(weights: Tensor, side: int, noise: ReadNoise) -> Tiled:
    options = ArrayOptions(rows=side, cols=side, forward=PERIPHERY, transposed=PERIPHERY, read_noise=noise)
    mapping = Mapping(0.25e-6, 25e-6, 1.0, "differential")  # any range does, the arithmetic is the same
    return Tiled(options, mapping, weights, torch.Generator().manual_seed(1))
