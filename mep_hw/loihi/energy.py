"""What events set off: synaptic operations, and a model of their energy.

    energy = operations * (energy of one) + neuron updates * (energy of one)

An event is served once by every synapse that leaves its unit, and every unit is updated in every step, whether it was
sent something or not. The energies of single operations are those of a chip's file (`limits`). Published ones are of
Loihi 1, whose spikes carry no payload, and graded events of Loihi 2 may take more: this is a model, good for comparing
thresholds, not a measurement. Left out: routing, the host, leakage, and what it takes to put inputs in and read out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mep_hw.loihi.limits import Chip
from mep_hw.loihi.wiring import wirings
from mep_hw.model import Model


def fan_outs(model: Model) -> list[Tensor]:
    """Synapses that leave every unit, (*shape) per population, the input first."""
    found = [torch.zeros(shape) for shape in (model.input_shape, *(layer.shape for layer in model.layers))]
    for wiring in wirings(model):
        per_position = torch.from_numpy(np.ascontiguousarray(wiring.positions.sum(0)))
        leaving = per_position * (1 if wiring.paired else wiring.to.channels)
        shape = found[wiring.source].shape
        found[wiring.source] += leaving.view(shape[1:]) if len(shape) == 3 else leaving
    return found


def operations(model: Model, units: Sequence[Tensor]) -> float:
    """Synaptic operations of so many events of every unit, (*shape) per population, the input first."""
    return sum(float((events * each).sum()) for events, each in zip(units, fan_outs(model), strict=True))


def energy_j(operations: float, updates: float, chip: Chip) -> float | None:
    """The model's energy; None where the chip's file has no energy of an operation."""
    synapse, neuron = chip.energy.synaptic_operation.value, chip.energy.neuron_update.value
    return None if synapse is None or neuron is None else operations * synapse + updates * neuron
