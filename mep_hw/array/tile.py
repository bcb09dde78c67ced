"""One physical array, or the two of a differential pair, with the converters of both reading directions.

    digital states -> DAC -> effective conductance -> read noise -> ADC -> digital drives

The currents of a pair are subtracted before the converter, so each direction is one matrix product. Both directions go
through the same cells; converters are separate. Signals are kept in units of states and weights throughout.

Where a reference line is used, its noise is common to all outputs of a read. Its own wires make the two directions
differ, as the reference bit line and the reference word line sit at different places; a differential pair has no such
error. An array that is only partly used counts as cut to the size used: lines do not pass along idle cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mep_hw.array.check import check_conductance
from mep_hw.array.converters import FREE, NEGATIVE, POSITIVE, Adc, Dac, Phase, add_noise_
from mep_hw.array.layout import spare
from mep_hw.array.mapping import Mapping
from mep_hw.array.noise import cell_variance, output_variance
from mep_hw.array.wires import effective_conductance, exact
from mep_hw.array.write_path import written_share
from mep_hw.cards.array import ArrayOptions, Periphery, PhaseMismatch
from mep_hw.errors import InputError


@dataclass
class _Direction:
    """What one direction of reading needs: converters, weights (driven, sensed) and variances of the read noise."""

    dac: Dac
    adc: Adc
    weights: Tensor
    own: Tensor | float = 0.0  # of each cell, (driven, sensed)
    common: Tensor | float = 0.0  # of the reference line, (driven, 1)
    zero: Tensor | None = None  # what a calibration found in each phase, (3, sensed); subtracted from reads

    def product(self, states: Tensor, phase: Phase, generator: torch.Generator) -> Tensor:
        driven = self.dac.convert(states, generator)
        drives = driven @ self.weights
        shared = output_variance(driven, self.common)
        if isinstance(shared, Tensor):
            drives += add_noise_(torch.zeros_like(shared), shared, generator)
        found = self.adc.convert_(drives, output_variance(driven, self.own), phase, generator)
        return found if self.zero is None else found.sub_(self.zero[phase])

    def calibrate(self, reads: int, lines: int, generator: torch.Generator) -> None:
        """Take the mean of `reads` reads of nothing, with all driven `lines` at zero, for the zero of each phase."""
        self.zero, nothing = None, self.weights.new_zeros(reads, lines)
        phases = [self.product(nothing, phase, generator).mean(0) for phase in (FREE, POSITIVE, NEGATIVE)]
        self.zero = torch.stack(phases)


class Tile:
    """Cells of one array or pair with their peripheries; a reference line is no part of `rows` and `cols`.

    Args:
        options: the array as its card describes it.
        mapping: between weights and conductances.
        cells: conductances in siemens as `Mapping.to_cells` orders them: (2, rows, cols) of a pair,
            (1, rows + 1, cols + 1) with a reference.
        generator: draws the mismatch of the converters now, and all noise later.
        dtype: number format of states and drives.

    Raises:
        InputError: more lines than the array has, a mapping of another pairing, or impossible conductances.
    """

    def __init__(
        self, options: ArrayOptions, mapping: Mapping, cells: Tensor, generator: torch.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> None:  # fmt: skip
        if mapping.pairing != options.pairing:
            rule = f"must be the array's, {options.pairing}"
            raise InputError("tile", "mapping.pairing", mapping.pairing, rule=rule, fix="build both from one card")
        lost = spare(options.pairing)
        arrays, rows, cols = cells.shape if cells.dim() == 3 else (0, 0, 0)
        if arrays != 2 - lost or not (lost < rows <= options.rows and lost < cols <= options.cols):
            rule = f"must be ({2 - lost}, rows, cols) within an array of {options.rows} x {options.cols}"
            fix = "spread the coupling with Tiled"
            raise InputError("tile", "cells shape", tuple(cells.shape), rule=rule, fix=fix)
        self.options, self.mapping, self.rows, self.cols = options, mapping, rows - lost, cols - lost
        self.generator, self.dtype = generator, dtype
        self._forward = self._direction(options.forward, options.phase_mismatch, self.rows, self.cols)
        self._transposed = self._direction(options.transposed, options.phase_mismatch, self.cols, self.rows)
        self.cells = cells
        self.hold(cells)

    def hold(self, cells: Tensor, solve: bool = True) -> None:
        """Take new conductances in siemens, of the same shape.

        Args:
            solve: solve the wires for them; else each cell keeps the share of its conductance that the terminals saw
                at the last solution, which is cheap and goes stale as cells change: see `wire_error`.

        Raises:
            InputError: of another shape, negative or not finite; the old ones are kept.
        """
        if cells.shape != self.cells.shape:
            rule = f"must be {tuple(self.cells.shape)}"
            raise InputError("tile", "cells shape", tuple(cells.shape), rule=rule, fix="give all cells of this tile")
        check_conductance(cells)
        held = cells.detach().double()
        if solve:
            seen = effective_conductance(held, self.options.wires)
            self._share = torch.where(held > 0, seen / held, 1.0)
        self._take(cells)

    def show(self, weights: Tensor) -> None:
        """Take what the cells stand for, (rows, cols) in weights: quicker than `hold`, and the same where neither
        wires nor noise in proportion to conductance are modelled, see `plain`."""
        self._forward.weights, self._transposed.weights = weights, weights.T

    @property
    def plain(self) -> bool:
        """Whether conductances do not matter, only the weights they stand for."""
        return not self.options.wires.resistive and self.options.read_noise.relative == 0

    def calibrate(self, reads: int) -> None:
        """Measure the zeros of all sensed lines in both directions and every phase, and subtract them from now on.

        What is found is the mean of `reads` reads: offsets of ADC and phases, and what offsets of the DAC make of the
        weights held now. Gains are not corrected, and neither is rounding where no noise spreads it.
        """
        self._forward.calibrate(reads, self.rows, self.generator)
        self._transposed.calibrate(reads, self.cols, self.generator)

    def snapshot(self) -> dict[str, Tensor]:
        """What a new tile of the same construction needs to read alike, beside the generator's state."""
        zeros = {"zero.forward": self._forward.zero, "zero.transposed": self._transposed.zero}
        known = {name: zero.clone() for name, zero in zeros.items() if zero is not None}
        return {"cells": self.cells.clone(), "share": self._share.clone()} | known

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Go back to a `snapshot`, a stale solution of the wires and the last calibration included."""
        self._share = tensors["share"].clone()
        self._forward.zero, self._transposed.zero = tensors.get("zero.forward"), tensors.get("zero.transposed")
        self._take(tensors["cells"])

    def written_share(self) -> Tensor:
        """Of the write voltage of each cell that holds weights, (arrays, rows, cols): see `mep_hw.array.write_path`."""
        wires = self.options.wires
        return written_share(self.cells.double(), wires.word_ohm, wires.bit_ohm)[:, : self.rows, : self.cols]

    def wire_error(self) -> float:
        """Distance of the weights that reads use from the exact solution for the cells held, relative to the latter;
        the larger one of the two directions. Staleness and the error of a cheap solution both count."""
        wires = self.options.wires
        true = self._seen(exact(self.cells.double(), wires.word_ohm, wires.bit_ohm))
        used = self._seen(self.cells.double() * self._share)
        tiny = torch.finfo(torch.float64).tiny  # cells that all hold weight 0 have no error
        return max(float((u - t).norm() / t.norm().clamp_min(tiny)) for u, t in zip(used, true, strict=True))

    def product(self, states: Tensor, phase: Phase = FREE) -> Tensor:
        """Drives (batch, cols) from states (batch, rows), by a forward read."""
        return self._forward.product(states, phase, self.generator)

    def product_transposed(self, states: Tensor, phase: Phase = FREE) -> Tensor:
        """Drives (batch, rows) from states (batch, cols), by a transposed read of the same cells."""
        return self._transposed.product(states, phase, self.generator)

    def _direction(self, periphery: Periphery, mismatch: PhaseMismatch, driven: int, sensed: int) -> _Direction:
        return _Direction(
            Dac(periphery.dac, driven, self.generator, self.dtype),
            Adc(periphery.adc, mismatch, sensed, self.generator, self.dtype),
            torch.empty(0),
        )

    def _take(self, cells: Tensor) -> None:
        self.cells, held = cells.detach().clone(), cells.detach().double()
        forward, transposed = self._seen(held * self._share)
        self._forward.weights, self._transposed.weights = forward.to(self.dtype), transposed.to(self.dtype)
        self._set_noise(held)

    def _seen(self, effective: Tensor) -> tuple[Tensor, Tensor]:
        return self.mapping.forward(effective), self.mapping.transposed(effective)

    def _set_noise(self, cells: Tensor) -> None:
        ahead, back, unit = self._forward, self._transposed, self.mapping.siemens_per_weight**2
        variance = cell_variance(cells, self.options.read_noise, self.mapping.span)
        pair = self.options.pairing == "differential"
        if not isinstance(variance, Tensor):
            ahead.own = back.own = (2 if pair else 1) * variance / unit
            ahead.common = back.common = 0.0 if pair else variance / unit
            return
        variance = (variance / unit).to(self.dtype)
        if pair:
            ahead.own = variance.sum(dim=0)
        else:
            ahead.own, ahead.common = variance[0, :-1, :-1], variance[0, :-1, -1:]
            back.common = variance[0, -1:, :-1].T
        back.own = ahead.own.T
