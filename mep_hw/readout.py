"""A model's read-out on the plain cpu machine, for use like a torch module: output = model(x)."""

from __future__ import annotations

import math
from functools import cache

from torch import Tensor

from mep_hw import machine
from mep_hw.cards import BackendCard, DeviceCard, SettleOptions
from mep_hw.errors import DataError
from mep_hw.model import Model
from mep_hw.state import Settled
from mep_hw.substrates.base import Substrate


def machine_for(model: Model, nudged_sweeps: int | None = None, tolerance: float | None = None) -> Substrate:
    """The cpu machine in the number format of the model's weights; None leaves what its card says of nudged phases."""
    card, device = _cards()
    settle = card.settle.model_dump()
    settle |= {} if nudged_sweeps is None else {"nudged_sweeps": nudged_sweeps}
    settle |= {} if tolerance is None else {"nudged_tolerance": tolerance}
    blocks = {
        "settle": SettleOptions.model_validate(settle),
        "compute": card.compute.model_copy(update={"dtype": str(model.weights[0].dtype).removeprefix("torch.")}),
    }
    return machine.build(model, card.model_copy(update=blocks), device, seed=0)


@cache
def _cards() -> tuple[BackendCard, DeviceCard | None]:
    return machine.cards("cpu")  # read once: this stands in every forward call


def free_phase(model: Model, x: Tensor) -> tuple[Settled, Tensor]:
    """The settled free phase, and the inputs (batch, *input_shape) as the machine takes them.

    Raises:
        DataError: samples of another size than the model's input.
    """
    if x.dim() == 0 or math.prod(x.shape[1:]) != math.prod(model.input_shape):
        raise DataError(
            "model", "input shape", tuple(x.shape), rule=f"must be (batch, *{model.input_shape})",
            fix="reshape the samples, or change the model's input",
        )  # fmt: skip
    substrate = machine_for(model)
    inputs = model.centred(substrate.tensor(x.reshape(len(x), *model.input_shape)))
    return substrate.settle(inputs), inputs
