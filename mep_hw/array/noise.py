"""Read noise, drawn once per output instead of once per cell and read, with the same law.

Every cell shows G + sigma(G) n in every read, n independent and normal. A sum over cells is then normal, too, with
variance sum_k x_k^2 sigma_k^2: one number per output has exactly the law of one per cell. With a sigma that all cells
share this is sigma^2 |x|^2; otherwise it takes one more product, with sigma^2 in place of the weights.

Not valid for noise that is correlated between reads (1/f, telegraph noise) or not normal. Wires are left out: a cell
behind resistive lines would contribute less, so noise is overstated, by the order of the load (`wires.wire_load`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from mep_hw.cards.array import ReadNoise


def cell_variance(cells: Tensor, options: ReadNoise, span: float) -> Tensor | float:
    """sigma(G)^2 in siemens^2, in the shape of `cells`; one number where it is the same for all.

    Args:
        cells: conductances in siemens.
        span: g_max - g_min of the device, in siemens.
    """
    shared = (options.absolute * span) ** 2
    return shared if options.relative == 0 else shared + (options.relative * cells).square()


def output_variance(driven: Tensor, variance: Tensor | float) -> Tensor | float:
    """Variance of each output, (batch, sensed), (batch, 1) where all are alike, or 0.

    Args:
        driven: signals on the driven lines, (batch, driven).
        variance: of each cell, (driven, sensed), or one number for all, in units of output over signal, squared.
    """
    if isinstance(variance, Tensor):
        return driven.square() @ variance
    if variance == 0:
        return 0.0
    return torch.linalg.vector_norm(driven, dim=1, keepdim=True).square_().mul_(variance)
