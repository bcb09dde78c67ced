"""One coupling spread over as many arrays as it needs; partial results are converted, then added as digital numbers.

A coupling (out, in) has its inputs on word lines and its outputs on bit lines. Every array has converters of its own,
so a coupling over n arrays in the direction of its inputs has n conversions per output, with n errors.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mep_hw.array.converters import FREE, Phase
from mep_hw.array.layout import spread
from mep_hw.array.mapping import Mapping
from mep_hw.array.tile import Tile
from mep_hw.cards.array import ArrayOptions
from mep_hw.errors import InputError
from mep_hw.files import under


class Tiled:
    """A coupling on arrays that hold its initial weights (out, in) as exactly as the mapping goes.

    `grid[i][j]` is the tile of the i-th share of inputs and the j-th share of outputs. Other arguments and errors are
    those of `Tile`.

    Raises:
        InputError: weights that are no matrix, or beyond the mapping's range.
    """

    def __init__(
        self, options: ArrayOptions, mapping: Mapping, weights: Tensor, generator: torch.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> None:  # fmt: skip
        if weights.dim() != 2 or weights.numel() == 0:
            shape = tuple(weights.shape)
            raise InputError("tiled", "weights shape", shape, rule="must be (out, in)", fix="flatten convolutions")
        place = spread((weights.shape[0], weights.shape[1]), options, options.pairing)
        self.rows, self.cols = place.words, place.bits
        self.mapping = mapping
        self.grid = [
            [Tile(options, mapping, mapping.to_cells(part), generator, dtype) for part in band]
            for band in self._split(weights)
        ]

    def show(self, weights: Tensor) -> None:
        """Read as if the cells stood for these weights (out, in): see `Tile.show`."""
        for tiles, parts in zip(self.grid, self._split(weights), strict=True):
            for tile, part in zip(tiles, parts, strict=True):
                tile.show(part)

    def hold(self, held: Tensor, two_sided: bool, solve: bool) -> None:
        """Take what the cells hold, (arrays, out, in) in weights of the model; see `Mapping.conductances`."""
        bands = held.transpose(1, 2).split(self.rows, 1)
        for tiles, band in zip(self.grid, bands, strict=True):
            for tile, part in zip(tiles, band.split(self.cols, 2), strict=True):
                tile.hold(self.mapping.conductances(part, two_sided), solve)

    def calibrate(self, reads: int) -> None:
        """Measure the zeros of all arrays, see `Tile.calibrate`."""
        for tiles in self.grid:
            for tile in tiles:
                tile.calibrate(reads)

    @property
    def plain(self) -> bool:
        """Whether the weights that cells stand for are all that reads depend on, see `Tile.plain`."""
        return self.grid[0][0].plain  # all tiles are made alike

    def written_share(self) -> Tensor:
        """Share of the write voltage that comes to each cell, (arrays, out, in), see `Tile.written_share`."""
        bands = [torch.cat([tile.written_share() for tile in tiles], dim=2) for tiles in self.grid]
        return torch.cat(bands, dim=1).mT

    def wire_error(self) -> float:
        """The largest of the tiles', see `Tile.wire_error`."""
        return max(tile.wire_error() for tiles in self.grid for tile in tiles)

    def snapshot(self) -> dict[str, Tensor]:
        """Cells and solutions of the wires of all tiles, under names such as `0.1.cells`."""
        return {
            f"{i}.{j}.{name}": value
            for i, tiles in enumerate(self.grid)
            for j, tile in enumerate(tiles)
            for name, value in tile.snapshot().items()
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Go back to a `snapshot` of a coupling that was made with the same seed."""
        for i, tiles in enumerate(self.grid):
            for j, tile in enumerate(tiles):
                tile.restore(under(f"{i}.{j}.", tensors))

    def product(self, states: Tensor, phase: Phase = FREE) -> Tensor:
        """Drives (batch, out) from states (batch, in)."""
        parts = states.split(self.rows, dim=1)
        bands = [
            torch.cat([tile.product(part, phase) for tile in tiles], dim=1)
            for tiles, part in zip(self.grid, parts, strict=True)
        ]
        return _sum(bands)

    def product_transposed(self, states: Tensor, phase: Phase = FREE) -> Tensor:
        """Drives (batch, in) from states (batch, out), through the same cells."""
        parts = states.split(self.cols, dim=1)
        bands = [
            torch.cat([tiles[j].product_transposed(part, phase) for tiles in self.grid], dim=1)
            for j, part in enumerate(parts)
        ]
        return _sum(bands)

    def _split(self, weights: Tensor) -> list[list[Tensor]]:
        return [list(band.split(self.cols, dim=1)) for band in weights.T.split(self.rows)]


def _sum(parts: list[Tensor]) -> Tensor:
    total = parts[0]
    for part in parts[1:]:
        total += part
    return total
