"""What the tests of transfer share: cells of soft bounds without spread and noise, and machines of one coupling."""

from __future__ import annotations

from typing import Any

import torch
from cell_arrays import device
from helpers import card
from torch import Tensor

import mep_hw
from mep_hw import machine as machines
from mep_hw.array.banks import make
from mep_hw.array.transfer import Transferring
from mep_hw.cards.array import ArrayOptions
from mep_hw.cards.schema import DeviceCard
from mep_hw.outersum import OuterSum
from mep_hw.substrates.crossbar import Crossbar
from mep_hw.training.owed import Owed

F64 = torch.float64
IN, OUT, STEP, UP_DOWN = 6, 3, 0.02, 0.3
POINT = UP_DOWN / (2 - UP_DOWN)  # where 1 - w = (1 - UP_DOWN) (1 + w)


def soft(**changes: object) -> DeviceCard:
    """Soft bounds at -1 and 1, with down steps lower than up steps by UP_DOWN."""
    return device(
        "reram-sb", spread=None, noise=None, response__up_down=UP_DOWN, w_min=-1.0, w_max=1.0, dw_min=STEP, **changes,
    )  # fmt: skip


def bank(cells: DeviceCard, transfer: dict[str, Any], seed: int = 0, **array: object) -> Transferring:
    given = {"rows": 16, "cols": 16, "pairing": "device", "transfer": transfer} | array
    made = make(ArrayOptions.model_validate(given), cells, (OUT, IN), torch.Generator().manual_seed(seed), F64)
    assert isinstance(made, Transferring)
    return made


def machine(transfer: dict[str, Any] | None, cells: DeviceCard | None = None, seed: int = 0) -> Crossbar:
    """A crossbar without errors of reads that holds one coupling (OUT, IN)."""
    array = {"rows": 16, "cols": 16, "pairing": "device", "transfer": transfer}
    backend = card("crossbar", array=array, write_modes=["outer"], compute__dtype="float64")
    made = machines.build(mep_hw.mlp(IN, OUT), backend, soft() if cells is None else cells, seed)
    assert isinstance(made, Crossbar)
    return made


def regression(made: Crossbar, lr: float, steps: int, seed: int = 1, batch: int = 4) -> Tensor:
    """Mean error of the weights, (OUT, IN), over the second half of `steps` updates by noisy samples of y = T x."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=F64)

    target, owed = 0.4 * normal(OUT, IN).sign(), Owed(made, 0)
    total = torch.zeros_like(target)
    for number in range(steps):
        x = normal(batch, IN)
        miss = x @ (target - made.read(0)).T + 0.3 * normal(batch, OUT)
        owed.execute(owed.compile(OuterSum(miss.T, x.T, lr / batch), local=True))
        if 2 * number >= steps:
            total += made.read(0) - target
    return total / (steps - steps // 2)
