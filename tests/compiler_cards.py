"""What tests of the compiler share: crossbars whose circuits and electrical numbers are known, cells, and updates."""

from __future__ import annotations

from typing import Any

import torch
from cell_arrays import device
from helpers import card
from torch import Tensor

from mep_hw.cards import BackendCard, DeviceCard
from mep_hw.outersum import OuterSum

F64 = torch.float64
CIRCUIT = {
    "gap_s": 4e-7, "settle_s": 1e-6, "read_s": 2e-6, "drive_s": 2e-6, "read_v": 0.2, "line_f": 3e-16,
    "driver_j": 1e-14, "dac_j": 2e-13, "adc_j": 7e-13, "overhead_j": 1e-12,
}  # fmt: skip
ASSUMED = {
    "pulse_width": (1e-7, "s"), "voltage_up": (2.0, "V"), "voltage_down": (-3.0, "V"), "g_min": (1e-6, "S"),
    "g_max": (5e-6, "S"), "endurance": (1e6, "pulse"),
}  # fmt: skip


def crossbar(modes: tuple[str, ...] = ("row", "outer", "cell"), **writing: Any) -> BackendCard:
    """The bundled crossbar with weights of a cell's own size, float64 and these options of writing."""
    options = card("crossbar").array
    assert options is not None
    kept = options.writing.model_dump() | {"noise_max": None, "step_max": None, "tolerance": 0.01, "minimise": None}
    return card(
        "crossbar", write_modes=list(modes), compute__dtype="float64", array__scale=1.0, array__scale_by="weight",
        array__writing=kept | writing,
    )  # fmt: skip


def arrays(called: str = "crossbar", **changes: object) -> BackendCard:
    """The bundled crossbar in units of weights, with all electrical numbers known or assumed."""
    assumed = {n: {"value": v, "unit": unit, "source": "assumed: a guess"} for n, (v, unit) in ASSUMED.items()}
    own = {"array__scale_by": "weight", "array__scale": 1.0, "array__circuit": CIRCUIT, "array__assumed": assumed}
    return card("crossbar", **(own | changes)).model_copy(update={"name": called})


def steps(size: float = 0.002, **changes: object) -> DeviceCard:
    """Cells that all take the same step, whatever they hold, without noise."""
    return device("gokmen-vlasov", spread=None, noise=None, dw_min=size, **changes)


def low_rank(out: int, inputs: int, rank: int, size: float = 1.0, seed: int = 0) -> OuterSum:
    """Orthonormal factors times `size`."""
    generator = torch.Generator().manual_seed(seed)
    left, right = (torch.linalg.qr(torch.randn(n, rank, generator=generator, dtype=F64))[0] for n in (out, inputs))
    return OuterSum(left, right, size)


def pulsed(name: str = "gokmen-vlasov", **changes: object) -> DeviceCard:
    """The bundled device with numbers of its own, or these instead."""
    return device(name, **changes)


def update(size: float = 0.02, shape: tuple[int, int] = (24, 40), rank: int = 5, seed: int = 0) -> Tensor:
    """Dense, of this rank and root mean square."""
    generator = torch.Generator().manual_seed(seed)
    left, right = (torch.randn(n, rank, generator=generator) for n in shape)
    return size * (left @ right.T) / rank**0.5
