"""A model's read-out on the plain cpu machine, for use like a torch module: output = model(x)."""

from __future__ import annotations

import math
from functools import lru_cache

from torch import Tensor

from mep_hw import machine
from mep_hw.cards import BackendCard, load_backend
from mep_hw.cards.changed import changed
from mep_hw.errors import DataError
from mep_hw.model import Model
from mep_hw.state import Settled
from mep_hw.substrates.base import Substrate


def machine_for(model: Model, nudged_sweeps: int | None = None, tolerance: float | None = None) -> Substrate:
    """The cpu machine in the number format of the model's weights; None leaves what its card says of nudged phases."""
    return machine.build(model, _card(str(model.weights[0].dtype), nudged_sweeps, tolerance), None, seed=0)


@lru_cache(maxsize=16)
def _card(dtype: str, nudged_sweeps: int | None, tolerance: float | None) -> BackendCard:
    """The card so changed; read and checked once, because it is needed in every forward call."""
    values: dict[str, object] = {"compute.dtype": dtype.removeprefix("torch.")}
    values |= {} if nudged_sweeps is None else {"settle.nudged_sweeps": nudged_sweeps}
    values |= {} if tolerance is None else {"settle.nudged_tolerance": tolerance}
    return changed(load_backend("cpu"), values)


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
    with machine_for(model) as substrate:
        inputs = model.centred(substrate.tensor(x.reshape(len(x), *model.input_shape)))
        return substrate.settle(inputs), inputs
