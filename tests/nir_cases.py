"""For tests of NIR files: models beside those of `problems`, states settled as far as float64 goes, files read back."""

from __future__ import annotations

from pathlib import Path

import nir
import torch
from helpers import machine
from problems import problem
from torch import Tensor

from mep_hw import spec
from mep_hw.export import write_nir
from mep_hw.model import Model
from mep_hw.state import Nudge

LINEAR_KINDS = (
    "mlp",
    "deep",
    "tanh",
    "sigmoid",
    "cross_entropy",
    "skip",
    "conv",
    "convskip",
    "box",
    "padded",
    "single",
)
DENSE_KINDS = ("mlp", "tanh", "sigmoid", "skip", "box", "single")
TIGHT = {
    "compute__dtype": "float64", "settle__tolerance": 1e-13, "settle__free_sweeps": 5000,
    "settle__nudged_tolerance": 1e-13, "settle__nudged_sweeps": 5000,
}  # fmt: skip


def case(kind: str, dtype: torch.dtype = torch.float64) -> tuple[Model, Tensor, Tensor]:
    """A model with random weights, inputs and targets, and with one settled state whatever settling starts from."""
    if kind not in ("box", "padded", "single"):
        given = problem(kind, dtype=dtype)
        for coupling, weight in zip(given.model.couplings, given.model.weights, strict=True):
            weight *= 0.6 if coupling.source > 0 and coupling.trainable else 1.0
        return given.model, given.x, given.y
    box = {"low": -0.5, "high": 2.0, "gain": 0.7, "offset": 0.1}
    pool = {"pool": "avg", "size": 3, "stride": 2, "padding": 1}
    conv = {"conv": {"channels": 3, "kernel": 2, "stride": 2}, "before": [pool], "after": [pool], "activation": box}
    described: dict[str, object] = {
        "box": {"input": [12], "layers": [{"dense": 9, "activation": box}, {"dense": 4}]},
        "padded": {"input": [2, 9, 9], "layers": [conv, {"dense": 6}, {"dense": 4}]},
        "single": {"input": [12], "layers": [{"dense": 4, "bias": False}]},
    }
    model = Model(spec.parse(described[kind]), seed=3, dtype=dtype)
    generator = torch.Generator().manual_seed(5)
    for bias in model.biases:
        if bias is not None:
            bias.copy_(0.3 * torch.randn(bias.shape, generator=generator))
    x = torch.rand((6, *model.input_shape), generator=generator, dtype=dtype)
    return model, x, torch.eye(4, dtype=dtype)[torch.arange(6) % 4]


def centre(model: Model) -> None:
    """Give the model an offset, as `train(centre=True)` does."""
    generator = torch.Generator().manual_seed(7)
    model.offset = torch.rand(model.input_shape, generator=generator, dtype=model.weights[0].dtype)


def settled_output(model: Model, x: Tensor, y: Tensor | None = None, beta: float = 0.0) -> Tensor:
    """The read-out of the free phase, or of a nudged one, on the cpu machine in float64."""
    with machine(model, **TIGHT) as substrate:
        inputs = model.centred(substrate.tensor(x))
        found = substrate.settle(inputs)
        if y is not None:
            strength = torch.full((len(x),), beta, dtype=torch.float64)
            found = substrate.settle(inputs, Nudge(strength, substrate.tensor(y)), found)
        assert float(found.residual.max()) < 1e-11
        return found.output


def through_file(graph: nir.NIRGraph, folder: Path) -> nir.NIRGraph:
    """The graph as the library reads it again."""
    write_nir(folder / "model.nir", graph)
    return nir.read(folder / "model.nir")
