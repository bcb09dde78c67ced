"""What tests of the compiler share: cells whose electrical numbers are known, and arrays that hold them."""

from __future__ import annotations

import torch
from cell_arrays import device
from helpers import card
from torch import Tensor

from mep_hw.cards.schema import BackendCard, DeviceCard

CIRCUIT = {
    "gap_s": 4e-7, "settle_s": 1e-6, "read_s": 2e-6, "drive_s": 2e-6, "read_v": 0.2, "line_f": 3e-16,
    "driver_j": 1e-14, "dac_j": 2e-13, "adc_j": 7e-13, "overhead_j": 1e-12,
}  # fmt: skip
ASSUMED = {
    "pulse_width": (1e-7, "s"), "voltage_up": (2.0, "V"), "voltage_down": (-3.0, "V"), "g_min": (1e-6, "S"),
    "g_max": (5e-6, "S"), "endurance": (1e6, "pulse"),
}  # fmt: skip


def arrays(called: str = "crossbar", **changes: object) -> BackendCard:
    """The bundled crossbar in units of weights, with all electrical numbers known or assumed."""
    assumed = {n: {"value": v, "unit": unit, "source": "assumed: a guess"} for n, (v, unit) in ASSUMED.items()}
    own = {"array__scale_by": "weight", "array__scale": 1.0, "array__circuit": CIRCUIT, "array__assumed": assumed}
    return card("crossbar", **(own | changes)).model_copy(update={"name": called})


def pulsed(name: str = "gokmen-vlasov", **changes: object) -> DeviceCard:
    return device(name, **changes)


def update(size: float = 0.02, shape: tuple[int, int] = (24, 40), rank: int = 5, seed: int = 0) -> Tensor:
    """Dense, of this rank and root mean square."""
    generator = torch.Generator().manual_seed(seed)
    left, right = (torch.randn(n, rank, generator=generator) for n in shape)
    return size * (left @ right.T) / rank**0.5
