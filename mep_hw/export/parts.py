"""A NIR graph that is being put together: nodes, edges, and the chains that most of them come in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import nir
import numpy as np
import torch
from torch import Tensor

from mep_hw.coupling import Shape
from mep_hw.errors import ModelError
from mep_hw.export.units import Array, centring
from mep_hw.model import Model


def array(value: Tensor) -> Array:
    return value.detach().cpu().contiguous().numpy().copy()


def number_format(model: Model) -> str:
    """Of all numbers in the graph: that of the weights.

    Raises:
        ModelError: a format that NIR files do not keep, or numbers that are not finite.
    """
    dtype = model.weights[0].dtype
    if dtype not in (torch.float32, torch.float64):
        rule, fix = "is not kept by NIR files", "build the model with dtype=torch.float32"
        raise ModelError("export", "dtype", dtype, rule=rule, fix=fix)
    for name, value in model.tensors().items():
        if not bool(value.isfinite().all()):
            rule, fix = "holds a number that is not finite", "export an earlier state of the model"
            raise ModelError("export", name, rule=rule, fix=fix)
    return str(dtype).removeprefix("torch.")


@dataclass
class Parts:
    """Nodes and edges of a graph that is being put together."""

    nodes: dict[str, nir.NIRNode] = field(default_factory=dict[str, nir.NIRNode])
    edges: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def chain(self, start: str, nodes: Mapping[str, nir.NIRNode], end: str) -> None:
        """`nodes` one after the other between two nodes that are there already or will be."""
        self.nodes |= nodes
        names = [start, *nodes, end]
        self.edges += list(zip(names, names[1:], strict=False))

    def input(self, shape: Shape, offset: Array | None) -> str:
        """The input, and where there is an offset the node that subtracts it; the name of what couplings start at."""
        self.nodes["input"] = nir.Input(input_type={"input": np.array(shape)})
        if offset is None:
            return "input"
        self.chain("input", {}, "centre")
        self.nodes["centre"] = centring(offset)
        return "centre"

    def output(self, depth: int, outputs: int) -> None:
        self.nodes["output"] = nir.Output(output_type={"output": np.array([outputs])})
        self.chain(f"units_{depth}", {}, "output")
