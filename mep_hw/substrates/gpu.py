"""The GPU: a fused kernel per phase for dense chains, captured library products for everything else.

Which one runs depends on the model, the card and the number of samples alone, never on a measurement, so that runs can
be repeated; `path` says which, and why. Both sweep in differences (`mep_hw.increments`), so products may round their
operands. What neither can do (max pooling, complex states, recorded energies, Anderson mixing, over-relaxation) goes
through `mep_hw.settle` with float32 operands.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mep_hw.cards.changed import changed
from mep_hw.cards.schema import BackendCard, DeviceCard
from mep_hw.errors import CapabilityError, CardError
from mep_hw.kernels.chain import Chain, Tiles, unsuitable
from mep_hw.kernels.place import interpreted, place
from mep_hw.kernels.settle import settle_fused
from mep_hw.model import Model
from mep_hw.schedule import Cost, Schedule
from mep_hw.settle import settle
from mep_hw.state import Nudge, Settled
from mep_hw.substrates.captured import Graphs
from mep_hw.substrates.digital import Digital
from mep_hw.substrates.products import Products, rounding
from mep_hw.substrates.replayed import settle_replayed

ROWS = 16  # of a program: the fewest that a product of tensor cores takes, so that small batches fill more of the GPU
INTERPRETED_ROWS = 64  # the interpreter takes milliseconds for every program, whatever its size


@dataclass(frozen=True)
class Path:
    """What settles a batch ("fused", "graph" or "library"), and why, where it is not the kernel."""

    name: str
    why: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.why}" if self.why else self.name


class Gpu(Digital):
    """Weights in float32 on the GPU, those of a dense chain in one buffer that the kernel reads.

    operands: number format of the operands; always "fp32" in the interpreter, whose bf16 products are wrong.

    Raises:
        CardError: the card has no `gpu` block.
        CapabilityError: there is no GPU that can, or the card asks for the kernel and the model does not suit it.
    """

    own_blocks = ("gpu",)

    def __init__(self, model: Model, backend: BackendCard, device: DeviceCard | None, seed: int) -> None:
        options = backend.gpu
        if options is None:
            rule, fix = "this substrate needs it", "copy it from backends/gpu/card.yaml"
            raise CardError(backend.origin, "gpu", None, rule=rule, fix=fix)
        super().__init__(model, changed(backend, {"compute.torch_device": place(backend)}), device, seed)
        self.options, self.graphs = options, Graphs()
        self.taken: dict[str, None] = {}  # paths, in the order of their first use
        self.operands = "fp32" if interpreted() else options.operands
        self.unfit = unsuitable(model, self.dtype)
        if self.unfit is not None and options.path == "fused":
            fix = "set it to auto"
            raise CapabilityError(
                f"backend {backend.name}",
                "gpu.path",
                "fused",
                rule=f"{model.name} does not suit: {self.unfit}",
                fix=fix,
            )
        self.chain: Chain | None = None
        if self.unfit is None:
            low = torch.bfloat16 if self.operands == "bf16" else self.dtype
            rows = INTERPRETED_ROWS if interpreted() else ROWS
            self.chain = Chain(model, self.torch_device, low, Tiles.of(model, rows))
            self._move(self.chain)
        places = {} if self.chain is None else self.chain.operand_views
        self.products = Products(model, self.weights, self.biases, self.operands, places)

    def path(self, batch: int, nudge: Nudge | None = None) -> Path:
        """What settles a batch of so many samples."""
        why = self._special(nudge)
        if why is not None:
            return Path("library", why)
        if self.unfit is not None:
            return Path("graph", self.unfit)
        if self.options.path != "auto":
            return Path(self.options.path, "the card asks for it")
        widest = max(layer.shape[0] for layer in self.model.layers)
        if widest > self.options.fused_width:
            return Path("graph", f"a layer has {widest} units, and the kernel pays up to {self.options.fused_width}")
        if batch > self.options.fused_batch:
            return Path("graph", f"{batch} samples, and the kernel pays up to {self.options.fused_batch}")
        return Path("fused")

    def settle(self, inputs: Tensor, nudge: Nudge | None = None, start: Settled | None = None) -> Settled:
        if nudge is not None and start is None:
            start = self.settle(inputs)
        path, options = self.path(len(inputs), nudge), self.backend.settle
        self.taken[str(path)] = None
        if path.name == "library":
            trace = self.energy if self.record_energy else None
            with rounding("fp32", self.torch_device):
                return settle(self.model, self, options, inputs, nudge, start, trace)
        with rounding(self.operands, self.torch_device):
            if path.name == "fused":
                assert self.chain is not None  # `path` says fused of models that suit only
                return settle_fused(self.model, self.chain, self.products, options, inputs, nudge, start)
            return settle_replayed(self.model, self.products, self.graphs, options, inputs, nudge, start)

    def remarks(self) -> dict[str, float | str]:
        """path: what phases were settled by so far, and why where it was not the kernel."""
        return {"path": "; ".join(self.taken)} if self.taken else {}

    def apply(self, coupling: int, schedule: Schedule) -> Cost:
        with rounding(self.operands, self.torch_device):
            cost = super().apply(coupling, schedule)
        self.products.refresh(coupling)
        return cost

    def write(self, coupling: int, weights: Tensor) -> Cost:
        cost = super().write(coupling, weights)
        self.products.refresh(coupling)
        return cost

    def _special(self, nudge: Nudge | None) -> str | None:
        """What neither the kernel nor the graphs can do; None: nothing of it is asked for."""
        if self.record_energy:
            return "energies are recorded after every sweep"
        if self.backend.settle.anderson:
            return "the card asks for Anderson mixing"
        if self.backend.settle.over_relaxation != 1:
            return "the card asks for over-relaxation"
        if nudge is not None and nudge.beta.is_complex():
            return "states are complex"
        if self.model.routes_by_argmax:
            return "max pooling"
        return None

    def _move(self, chain: Chain) -> None:
        """Weights and biases into the chain's buffers, where they change in place from now on."""
        for c, view in chain.views.items():
            self.weights[c] = view.copy_(self.weights[c])
        for n, (bias, span) in enumerate(zip(self.biases, chain.spans, strict=True)):
            if bias is not None:
                self.biases[n] = chain.biases[span].copy_(bias)
