"""From a device card and the traits of its cells to the pulse response that the card names."""

from __future__ import annotations

import torch
from torch import Tensor

from mep_hw.cards.response import ConstantStep, ExpStep, LinearStep, Piecewise, PowerStep, SoftBounds, Table
from mep_hw.cards.schema import DeviceCard
from mep_hw.cells.affine import Affine
from mep_hw.cells.curved import Exponential, Power, Segments
from mep_hw.cells.pulses import Cell, PulseResponse
from mep_hw.cells.table import Jumps, data_folder, read_table
from mep_hw.cells.traits import Traits, amount
from mep_hw.errors import CapabilityError


def respond(card: DeviceCard, traits: Traits) -> PulseResponse:
    """The response of the cells with these traits.

    Raises:
        DataError: the card names a measured table that is missing or malformed.
    """
    response = card.response
    sigma = 0.0 if card.noise is None else amount(card.noise.cycle)
    if isinstance(response, ConstantStep | LinearStep | SoftBounds):
        return Affine(card, response, traits, sigma)
    if isinstance(response, ExpStep):
        return Exponential(response, traits, sigma)
    if isinstance(response, PowerStep):
        return Power(response, traits, sigma)
    if isinstance(response, Piecewise):
        return Segments(response, traits, sigma)
    if isinstance(response, Table):
        return _jumps(card, response, traits.low.device)
    return NoPulses(card)


class NoPulses(PulseResponse):
    """Cells that are set, not pulsed."""

    def __init__(self, card: DeviceCard) -> None:
        self.card = card

    def one(self, weight: Tensor, up: bool, cell: Cell, generator: torch.Generator) -> Tensor:
        raise self._refused()

    def mean(self, weight: Tensor, up: bool, cell: Cell) -> Tensor:
        raise self._refused()

    def _refused(self) -> CapabilityError:
        return CapabilityError(
            f"device {self.card.name}", "response.family", self.card.family,
            rule="these cells take no pulses", fix="set or program them, or use a device with a pulse response",
        )  # fmt: skip

    def part(self, cells: Tensor) -> NoPulses:
        return self


def _jumps(card: DeviceCard, response: Table, place: torch.device) -> Jumps:
    folder = data_folder(response, card.path)
    low, high = card.w_min.value, card.w_max.value
    g_min, g_max = card.electrical.g_min.value, card.electrical.g_max.value
    assert low is not None and high is not None and g_min is not None and g_max is not None  # checked by the card
    up, down = read_table(folder, response.up), read_table(folder, response.down)
    return Jumps(up, down, low, g_min, (high - low) / (g_max - g_min), place)
