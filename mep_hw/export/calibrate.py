"""Gains and leaks of spiking units, fitted so that their rates match a model's settled states on given samples.

Per layer and population r and v_leak are those with the least squared difference between f(d), see
`mep_hw.export.spiking`, and the rate that stands for the model's state, over all units and samples. What the fit sees
is the settled model's own drives: it does not know of ripples and noise in the running graph, which `measure` finds.
"""

from __future__ import annotations

import nir
import numpy as np
import torch
from scipy.optimize import least_squares
from torch import Tensor

from mep_hw.activation import Box
from mep_hw.errors import DataError
from mep_hw.export.parts import number_format
from mep_hw.export.spiking import Curve, Pair, box_of, peak, spiking_graph, start
from mep_hw.export.units import Array
from mep_hw.forward import free_phase
from mep_hw.model import Model

POINTS = 20_000  # drives that a fit looks at, most


def to_spiking_nir(model: Model, samples: Tensor) -> nir.NIRGraph:
    """The spiking graph of the free phase, calibrated on `samples` (n, *input_shape). Experimental: `measure` it.

    Raises:
        ModelError: an activation that is not a box, or something that has no counterpart in NIR.
        DataError: no samples, or samples of another size.
    """
    number_format(model)
    if len(samples) == 0:
        raise DataError("export", "samples", 0, rule="there must be at least one", fix="give some training samples")
    boxes = {n: box_of(model, n) for n in range(1, model.depth)}
    state, inputs = free_phase(model, samples)
    values = [inputs, *state.state]
    return spiking_graph(model, {n: _fitted(box, _drives(model, values, n)) for n, box in boxes.items()})


def _drives(model: Model, values: list[Tensor], layer: int) -> Array:
    """All drives of one layer at the settled state."""
    bias = model.biases[layer - 1]
    drive = torch.zeros_like(values[layer]) if bias is None else bias.expand(values[layer].shape).clone()
    for c in model.incoming[layer]:
        drive = model.couplings[c].forward(values[model.couplings[c].source], model.weights[c], drive)
    for c in model.outgoing[layer]:
        coupling = model.couplings[c]
        if coupling.target < model.depth or model.loss.in_energy:
            drive = coupling.backward(values[coupling.target], model.weights[c], values[layer], drive)
    flat = drive.detach().reshape(-1).to(torch.float64).numpy()
    return flat[:: max(1, len(flat) // POINTS)]


def _fitted(box: Box, drive: Array) -> Pair:
    return Pair(box, *(_curve(box, bound, drive) for bound in (box.low, box.high)))


def _curve(box: Box, bound: float, drive: Array) -> Curve:
    """The best curve; the straight line where too few drives lie above the bound to say anything."""
    line = start(box, bound)
    wanted = peak(box) * np.maximum(box.gain * drive + box.offset - bound, 0)
    if np.count_nonzero(wanted) < 10:
        return line

    def error(parameters: Array) -> Array:
        return Curve(float(parameters[0]) * line.r, line.leak + float(parameters[1])).rate(drive) - wanted

    factor, shift = least_squares(error, [1.0, 0.0], diff_step=1e-4).x
    return Curve(float(factor) * line.r, line.leak + float(shift))
