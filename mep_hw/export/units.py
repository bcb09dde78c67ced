"""Layers as LI nodes: tau v' = v_leak - v + r I, and what NIR has no field for in the node's metadata.

A box unit is s = clamp(gain * drive + offset, low, high), so r is its gain, v_leak its offset, and v is held between
`low` and `high`. A smooth unit keeps v = drive and sends rho(v). The read-out keeps and sends v. What the machine
subtracts from every input (`Model.offset`) is a leak voltage, too: tau v' = -offset - v + x.

A nudge of strength beta turns the read-out's equation o' = drive - o + beta (y - o) into one with tau / (1 + beta) and
r = 1 / (1 + beta), driven by beta y as well. The time constant is not part of a model, and no settled state depends on
it: `TAU` is a choice, and `DT` a step at which Euler's method is stable for it.
"""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from mep_hw.activation import Activation, Box, Sigmoid
from mep_hw.coupling import Shape

TAU = 0.01  # s
DT = 0.001  # s

Array = NDArray[Any]


def unit_metadata(activation: Activation | None) -> dict[str, Any]:
    """What a layer sends of its v: `box` (v itself, held between bounds), `sigmoid` or `tanh` of v, or `linear`."""
    if activation is None:
        return {"activation": "linear"}
    if isinstance(activation, Box):
        return {"activation": "box", "low": float(activation.low), "high": float(activation.high)}
    return {"activation": "sigmoid" if isinstance(activation, Sigmoid) else "tanh"}


def units(shape: Shape, activation: Activation | None, dtype: str, beta: float = 0.0) -> nir.LI:
    """One layer; `beta` nudges it, which is for the read-out."""
    gain, offset = (activation.gain, activation.offset) if isinstance(activation, Box) else (1.0, 0.0)
    return _li(shape, dtype, TAU / (1 + beta), gain / (1 + beta), offset, unit_metadata(activation))


def centring(offset: Array) -> nir.LI:
    """v settles at the input less `offset`, which has the shape of the input."""
    node = _li(offset.shape, str(offset.dtype), TAU, 1.0, 0.0, unit_metadata(None))
    node.v_leak = 0 - offset  # and not -offset, which would turn 0 into -0
    return node


def _li(shape: Shape, dtype: str, tau: float, r: float, leak: float, metadata: dict[str, Any]) -> nir.LI:
    full = (np.full(shape, value, dtype=dtype) for value in (tau, r, leak))
    return nir.LI(*full, metadata=metadata)
