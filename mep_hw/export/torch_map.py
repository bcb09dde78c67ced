"""Our rate profile in nirtorch: the modules that compute what the nodes mean, for `nirtorch.nir_to_torch`.

    module = nirtorch.nir_to_torch(graph, node_map(), dtype=torch.float64)
    output, state = module(x); output, state = module(x, state); ...      # one step of Euler's method each

The default map of nirtorch 2.6 knows no LI, loses the bias of an Affine and flattens the batch, hence a map for these,
too. nirtorch steps layers one after the other on the way there and hands the way back on to the next step, so it passes
through other states than a synchronous integration; where the state stops moving it is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nir
import torch
from torch import Tensor, nn

from mep_hw.export.units import DT


class Units(nn.Module):
    """LI units with the activation in the node's metadata (none: linear); the state is v, (batch, *shape)."""

    def __init__(self, node: nir.LI, dt: float) -> None:
        super().__init__()
        self.step, self.r, self.leak = (
            nn.Parameter(torch.from_numpy(value), requires_grad=False) for value in (dt / node.tau, node.r, node.v_leak)
        )
        self.activation = str(node.metadata.get("activation", "linear"))
        self.low, self.high = (float(node.metadata.get(key, 0)) for key in ("low", "high"))

    def forward(self, current: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        v = torch.zeros_like(current) if state is None else state
        v = v + self.step * (self.leak - v + self.r * current)
        if self.activation == "box":
            v = v.clamp(self.low, self.high)
        sent = {"sigmoid": torch.sigmoid, "tanh": torch.tanh}.get(self.activation)
        return (v if sent is None else sent(v)), v


class _Scaled(nn.Module):
    def __init__(self, node: nir.Scale) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.from_numpy(node.scale), requires_grad=False)

    def forward(self, value: Tensor) -> Tensor:
        return value * self.scale


def node_map(dt: float = DT) -> dict[type[nir.NIRNode], Callable[[Any], nn.Module]]:
    """For `nirtorch.nir_to_torch`; `dt` is the step of Euler's method, in seconds."""
    return {
        nir.LI: lambda node: Units(node, dt),
        nir.Affine: _dense,
        nir.Linear: _dense,
        nir.Scale: _Scaled,
        nir.Flatten: lambda node: nn.Flatten(1 + node.start_dim, node.end_dim),
    }


def _dense(node: nir.Affine | nir.Linear) -> nn.Module:
    outputs, inputs = node.weight.shape
    module = nn.Linear(inputs, outputs, bias=isinstance(node, nir.Affine), dtype=torch.float64)
    module.weight.data = torch.from_numpy(node.weight)
    if isinstance(node, nir.Affine):
        module.bias.data = torch.from_numpy(node.bias)
    return module
