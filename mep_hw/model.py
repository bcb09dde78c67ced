"""An equilibrium model: layers, symmetric couplings, an energy; no hardware.

    E(s; x) = sum_l [G_l(s_l) - <b_l, s_l>] - sum_c <s_target(c), Phi_c(s_source(c); W_c)>,   s_0 = x

The energy has a unique minimum only while the couplings between layers are weak (for a chain, spectral norms of the
hidden couplings below about 0.5 guarantee it; up to 0.9 it holds in practice because many units sit at their bounds).
The initial weights respect that; training may leave it, and settling then reports many sweeps.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from mep_hw import spec as specs
from mep_hw.coupling import Shape
from mep_hw.errors import CheckpointError, ModelError
from mep_hw.files import read_tensors, under, write_tensors
from mep_hw.initial import initial_bias, initial_weight
from mep_hw.loss import LOSSES, Loss
from mep_hw.spec import BoxSpec, ModelSpec, SkipSpec
from mep_hw.state import Settled
from mep_hw.structure import structure


class Model:
    """Structure and weights. `weights[c]` belongs to `couplings[c]`, `biases[l - 1]` to layer l (None: no bias).

    Couplings are listed layer by layer, so without skips `couplings[l - 1]` feeds layer l; skips follow at the end.
    """

    def __init__(self, spec: ModelSpec, *, seed: int = 0, dtype: torch.dtype = torch.float32) -> None:
        self.spec = spec
        self.input_shape: Shape = spec.input
        self.loss: Loss = LOSSES[spec.cost]
        self.layers, self.couplings = structure(spec)
        self.incoming = [[c for c, k in enumerate(self.couplings) if k.target == n] for n in range(self.depth + 1)]
        self.outgoing = [[c for c, k in enumerate(self.couplings) if k.source == n] for n in range(self.depth + 1)]
        self._seed, self._dtype = seed, dtype
        self.offset: Tensor | None = None  # subtracted from every input before it reaches the machine
        self.biases = [initial_bias(k, dtype) for k in self.layers]
        # Told the inputs of every call, less the offset, and its free phase.
        self.listeners: list[Callable[[Tensor, Settled], None]] = []

    @cached_property
    def weights(self) -> list[Tensor]:
        """Initial values until they are changed; drawn when first asked for, as whoever only counts needs none."""
        generator = torch.Generator().manual_seed(self._seed)
        weights = [initial_weight(k, generator).to(self._dtype) for k in self.couplings]
        for skip in self.spec.skips:
            if skip.identity is not None:
                weights[self._skip_index(skip)].fill_(skip.identity)
        return weights

    @property
    def depth(self) -> int:
        """Number of layers, the read-out included, the input not."""
        return len(self.layers)

    @property
    def outputs(self) -> int:
        return self.layers[-1].shape[0]

    @property
    def name(self) -> str:
        """Short form such as 784-512-10, or the shapes of the layers for other models."""
        return "-".join("x".join(map(str, shape)) for shape in (self.input_shape, *(k.shape for k in self.layers)))

    @property
    def trainable(self) -> list[int]:
        """Indices of the couplings whose weights are learned."""
        return [c for c, k in enumerate(self.couplings) if k.trainable]

    @property
    def hidden(self) -> list[int]:
        """Indices of the couplings that a control run freezes: all but those that end in the read-out."""
        return [c for c, k in enumerate(self.couplings) if k.target < self.depth]

    @property
    def bounded(self) -> list[int]:
        """Indices of the couplings that a spectral bound is for: between hidden layers, or else the read-out's."""
        between = [c for c in self.trainable if self.couplings[c].source > 0]
        return [c for c in between if self.couplings[c].target < self.depth] or between

    @cached_property
    def routes_by_argmax(self) -> bool:
        """True with max pooling anywhere."""
        return any(k.routes_by_argmax for k in self.couplings)

    @property
    def smooth(self) -> bool:
        """True when every activation is analytic, which complex states need."""
        return not self.routes_by_argmax and all(k.activation is None or k.activation.smooth for k in self.layers)

    def parameters(self) -> list[Tensor]:
        """Learned weights and biases, layer by layer, for `mep_hw.optimizers`; they carry no gradient."""
        found: list[Tensor] = []
        for layer, bias in enumerate(self.biases, start=1):
            found += [self.weights[c] for c in self.incoming[layer] if self.couplings[c].trainable]
            found += [] if bias is None else [bias]
        return found

    def __call__(self, x: Tensor) -> Tensor:
        """The read-out (batch, outputs) of the free phase, settled by the cpu machine; x is (batch, *input_shape).

        Raises:
            DataError: samples of another size.
        """
        from mep_hw.forward import free_phase  # needs machines, which need this module

        free, inputs = free_phase(self, x)
        for listener in self.listeners:
            listener(inputs, free)
        return free.output

    def centred(self, x: Tensor) -> Tensor:
        """`x` less the model's offset; substrates and the energy take inputs in this form."""
        return x if self.offset is None else x - self.offset.to(x)

    def energy(self, state: Sequence[Tensor], x: Tensor) -> Tensor:
        """E(s; x) per sample, shape (batch,). `state` holds s_1 .. s_L; x is (batch, *input_shape).

        With `cross_entropy` the read-out is outside the energy and the last entry of `state` is not used.
        """
        from mep_hw.energy import energy  # which needs this module

        return energy(self, self.weights, self.biases, state, x)

    def save(self, path: str | Path) -> None:
        """Write structure and weights to one safetensors file, atomically."""
        write_tensors(path, self.tensors(), {"model": json.dumps(self.spec.as_dict())})

    def tensors(self) -> dict[str, Tensor]:
        named = {f"weights.{k.name}": w for k, w in zip(self.couplings, self.weights, strict=True)}
        named |= {f"biases.{n}": b for n, b in enumerate(self.biases, start=1) if b is not None}
        return named if self.offset is None else named | {"offset": self.offset}

    def load_tensors(self, tensors: dict[str, Tensor], where: str) -> None:
        """Copy values saved by `tensors()` into this model.

        Raises:
            CheckpointError: a tensor is missing or has another shape; nothing was copied.
        """
        own = self.tensors()
        if "offset" in tensors and self.offset is None:
            own["offset"] = torch.zeros(self.input_shape, dtype=tensors["offset"].dtype)
        for name, mine in own.items():
            theirs = tensors.get(name)
            if theirs is None or theirs.shape != mine.shape:
                raise CheckpointError(
                    where, name, "absent" if theirs is None else tuple(theirs.shape),
                    rule=f"must have shape {tuple(mine.shape)} for model {self.name}",
                    fix="load it into the model that wrote it",
                )  # fmt: skip
        for name, mine in own.items():
            mine.copy_(tensors[name])
        self.offset = own.get("offset")

    def _skip_index(self, skip: SkipSpec) -> int:
        return self.depth + self.spec.skips.index(skip)

    def __repr__(self) -> str:
        return f"Model({self.name}, cost={self.loss.name}, skips={len(self.spec.skips)})"


def load(path: str | Path) -> Model:
    """The model that `Model.save` or a training run wrote; of a run with validation the best epoch so far.

    Raises:
        CheckpointError: not a safetensors file of ours, or damaged.
    """
    tensors, metadata = read_tensors(path)
    if "model" not in metadata:
        raise CheckpointError(
            str(path), "metadata", rule="holds no model description", fix="give a file written by mep_hw"
        )
    dtype = next((t.dtype for name, t in tensors.items() if name.startswith("weights.")), torch.float32)
    try:
        model = Model(specs.parse(json.loads(metadata["model"])), dtype=dtype)
    except (json.JSONDecodeError, ModelError) as error:
        rule = f"holds no valid model description ({error})"
        raise CheckpointError(str(path), "metadata", rule=rule, fix="give a file written by mep_hw") from None
    best = under("best.", tensors)
    model.load_tensors(tensors | best, str(path))
    return model


def mlp(
    *sizes: int,
    activation: specs.ActivationName | BoxSpec = "hard_sigmoid",
    cost: str = "squared_error",
    skips: Sequence[tuple[int, int]] = (),
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Model:
    """Dense layers `sizes[0]` (the input) to `sizes[-1]` (the read-out), with dense skips (source, target).

    Raises:
        ModelError: fewer than two sizes, a size below 1, an unknown activation or cost.
    """
    if len(sizes) < 2:
        raise ModelError("mlp", "sizes", sizes, rule="needs an input and an output size", fix="write mlp(64, 128, 10)")
    layers: list[dict[str, object]] = [{"dense": n, "activation": activation} for n in sizes[1:-1]]
    layers.append({"dense": sizes[-1]})
    extra = [{"source": a, "target": b, "dense": True} for a, b in skips]
    description = {"input": [sizes[0]], "layers": layers, "skips": extra, "cost": cost}
    return Model(specs.parse(description, "mlp"), seed=seed, dtype=dtype)


def convnet(
    input_shape: Shape = (1, 28, 28),
    channels: Sequence[int] = (32, 64),
    *,
    kernel: int = 5,
    stride: int = 1,
    padding: int = 0,
    pool: str | None = "avg",
    hidden: Sequence[int] = (),
    outputs: int = 10,
    activation: specs.ActivationName | BoxSpec = "hard_sigmoid",
    cost: str = "squared_error",
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Model:
    """Convolutions, each with 2x2 pooling (`pool`: "avg", "max" or None), dense hidden layers and a dense read-out."""
    after = [] if pool is None else [{"pool": pool, "size": 2}]
    layers: list[object] = []
    for n in channels:
        conv = {"channels": n, "kernel": kernel, "stride": stride, "padding": padding}
        layers.append({"conv": conv, "after": after, "activation": activation})
    layers.extend({"dense": n, "activation": activation} for n in hidden)
    layers.append({"dense": outputs})
    return Model(
        specs.parse({"input": list(input_shape), "layers": layers, "cost": cost}, "convnet"), seed=seed, dtype=dtype
    )
