"""A chain of dense layers as the kernel holds it: one buffer of weights, one of biases, and a table of places.

Layers and both sides of weights are padded to whole tiles, so that the kernel needs no masks. The first coupling is not
in it: what the input contributes is one product per batch, made outside.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
from torch import Tensor

from mep_hw.activation import Box, Sigmoid, Tanh
from mep_hw.coupling import Dense
from mep_hw.kernels.phase import BOUNDS, BOX, FIELDS, LINEAR, SIGMOID, SOFTMAX, TANH
from mep_hw.model import Model

LEAST, MOST = 16, 64  # units of a tile: what a product of tensor cores takes, and what registers hold without spilling


@dataclass(frozen=True)
class Tiles:
    """Of the kernel. rows: of a program. units: outputs and summands of one product. warps: of a program."""

    rows: int
    units: int
    warps: int = 4

    @classmethod
    def of(cls, model: Model, rows: int) -> Tiles:
        """Tiles that fit the model: small ones for narrow layers."""
        widest = max(layer.shape[0] for layer in model.layers)
        return cls(rows, min(MOST, max(LEAST, triton.next_power_of_2(widest))))


class Chain:
    """The places of a model's layers and couplings, and the packed weights of all couplings but the first.

    columns: width of a row that holds all layers side by side. spans: of layer l, its columns in that row.
    weights: (n,) in float32; operands: the same as products take them, for bf16 a copy.
    views, operand_views: of coupling c, (out, in), its part of either.
    biases: (columns,), 0 where a layer has none; first_bias: (width,), its part of layer 1.

    The caller makes sure that `unsuitable` has nothing to say.
    """

    def __init__(self, model: Model, place: torch.device, operands: torch.dtype, tiles: Tiles) -> None:
        widths = [layer.shape[0] for layer in model.layers]
        self.depth, self.tiles = model.depth, tiles
        self.spans: list[slice] = []
        rows: list[list[int]] = []
        bounds: list[list[float]] = []
        self.columns, size = 0, 0
        padded = [-(-width // tiles.units) * tiles.units for width in widths]
        strides = [0, *padded]
        for n, (layer, width) in enumerate(zip(model.layers, widths, strict=True)):
            self.spans.append(slice(self.columns, self.columns + width))
            kind = SOFTMAX if not model.loss.in_energy else LINEAR
            box = [0.0] * BOUNDS
            if isinstance(layer.activation, Box):
                a = layer.activation
                kind, box = BOX, [a.low, a.high, a.gain, a.offset]
            elif layer.activation is not None:
                kind = SIGMOID if isinstance(layer.activation, Sigmoid) else TANH
            rows.append([self.columns, width, size, strides[n], kind])
            assert len(rows[-1]) == FIELDS
            bounds.append(box)
            self.columns += padded[n]
            size += padded[n] * strides[n]
        self.table = torch.tensor(rows, dtype=torch.int32, device=place)
        self.bounds = torch.tensor(bounds, dtype=torch.float32, device=place)
        self.weights = torch.zeros(max(size, 1), dtype=torch.float32, device=place)
        self.operands = self.weights if operands == torch.float32 else torch.zeros_like(self.weights, dtype=operands)

        def view(buffer: Tensor, n: int) -> Tensor:
            _, width, first, stride, _ = rows[n]
            return buffer[first : first + width * stride].view(width, stride)[:, : widths[n - 1]]

        self.views = {n: view(self.weights, n) for n in range(1, model.depth)}
        self.operand_views = {n: view(self.operands, n) for n in range(1, model.depth)}
        self.biases = torch.zeros(self.columns, dtype=torch.float32, device=place)
        self.first_bias = self.biases[self.spans[0]]

    def split(self, rows: Tensor) -> list[Tensor]:
        """The layers in a buffer of such rows, as views (rows, width)."""
        return [rows[:, span] for span in self.spans]

    def joined(self, values: list[Tensor]) -> Tensor:
        """The layers (rows, width) side by side in a new buffer."""
        rows = values[0].new_zeros(len(values[0]), self.columns)
        for mine, value in zip(self.split(rows), values, strict=True):
            mine.copy_(value)
        return rows


def unsuitable(model: Model, dtype: torch.dtype) -> str | None:
    """Why the kernel cannot run this model with states of this number format; None: it can."""
    if dtype != torch.float32:
        return f"its states are {str(dtype).removeprefix('torch.')}"
    if model.depth != len(model.couplings):
        return "it has skips"
    if any(not isinstance(k.operator, Dense) or k.before or k.after for k in model.couplings):
        return "it has layers that are not dense"
    if any(not isinstance(k.activation, Box | Sigmoid | Tanh | None) for k in model.layers):
        return "it has an activation that the kernel does not know"
    if not model.loss.in_energy and model.outputs > MOST:  # which has to see all of its units in one tile
        return f"its softmax has {model.outputs} units, and the kernel takes {MOST}"
    if model.depth < 2:
        return "it has no hidden layer"
    return None
