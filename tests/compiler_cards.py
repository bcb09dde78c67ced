"""What tests of the compiler share: a crossbar with known circuits and electrical numbers, and updates to compile."""

from __future__ import annotations

from typing import Any

import torch
from cell_arrays import device
from helpers import card

from mep_hw.cards import BackendCard, DeviceCard
from mep_hw.outersum import OuterSum

F64 = torch.float64


def crossbar(modes: tuple[str, ...] = ("row", "outer", "cell"), **writing: Any) -> BackendCard:
    """The bundled crossbar with weights of a cell's own size, float64 and these options of writing."""
    options = card("crossbar").array
    assert options is not None
    kept = options.writing.model_dump() | {"noise_max": None, "step_max": None, "tolerance": 0.01, "minimise": None}
    return card(
        "crossbar", write_modes=list(modes), compute__dtype="float64", array__scale=1.0, array__scale_by="weight",
        array__writing=kept | writing,
    )  # fmt: skip


def steps(size: float = 0.002, **changes: object) -> DeviceCard:
    """Cells that all take the same step, whatever they hold, without noise."""
    return device("gokmen-vlasov", spread=None, noise=None, dw_min=size, **changes)


def low_rank(out: int, inputs: int, rank: int, size: float = 1.0, seed: int = 0) -> OuterSum:
    """Orthonormal factors times `size`."""
    generator = torch.Generator().manual_seed(seed)
    left, right = (torch.linalg.qr(torch.randn(n, rank, generator=generator, dtype=F64))[0] for n in (out, inputs))
    return OuterSum(left, right, size)
