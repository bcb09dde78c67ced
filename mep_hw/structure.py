"""From a written specification to layers and couplings with their shapes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mep_hw.activation import NAMED, Activation, Box
from mep_hw.coupling import Conv, Coupling, Dense, Identity, Pool, Shape
from mep_hw.errors import ModelError
from mep_hw.spec import BoxSpec, ConvSpec, LayerSpec, ModelSpec, PoolSpec


@dataclass(frozen=True)
class Layer:
    """One layer's shape (without the batch), non-linearity and bias shape; the read-out has no activation."""

    shape: Shape
    activation: Activation | None
    bias_shape: Shape | None


def structure(spec: ModelSpec) -> tuple[tuple[Layer, ...], tuple[Coupling, ...]]:
    """Layers 1 .. L, and couplings: layer l's from the one below at index l - 1, then the skips.

    Raises:
        ModelError: windows that do not fit, or a skip between shapes that do not match.
    """
    shapes: list[Shape] = [spec.input]
    layers: list[Layer] = []
    couplings: list[Coupling] = []
    for number, layer in enumerate(spec.layers, start=1):
        operator = _conv(layer.conv) if layer.conv else Dense(layer.dense or 0)
        before, after = (tuple(_pool(p) for p in pools) for pools in (layer.before, layer.after))
        coupling = Coupling(str(number), number - 1, number, shapes[-1], operator, before, after)
        shapes.append(coupling.target_shape)
        couplings.append(coupling)
        bias_shape = (shapes[-1][0], *([1] * (len(shapes[-1]) - 1))) if layer.bias else None
        activation = None if number == len(spec.layers) else _activation(layer)
        layers.append(Layer(shapes[-1], activation, bias_shape))
    for skip in spec.skips:
        target = shapes[skip.target]
        operator = (
            Identity() if skip.identity is not None else _conv(skip.conv) if skip.conv else Dense(math.prod(target))
        )
        name = f"{skip.source}to{skip.target}"
        coupling = Coupling(
            name, skip.source, skip.target, shapes[skip.source], operator, trainable=skip.identity is None
        )
        if coupling.target_shape != target:
            raise ModelError(
                "model", f"skip {name}", coupling.target_shape,
                rule=f"must give the shape {target} of layer {skip.target}", fix="match channels, stride and padding",
            )  # fmt: skip
        couplings.append(coupling)
    return tuple(layers), tuple(couplings)


def _activation(layer: LayerSpec) -> Activation:
    if isinstance(layer.activation, BoxSpec):
        return Box(**layer.activation.model_dump())
    return NAMED[layer.activation or "hard_sigmoid"]


def _conv(conv: ConvSpec) -> Conv:
    return Conv(conv.channels, conv.kernel, conv.stride, conv.padding)


def _pool(pool: PoolSpec) -> Pool:
    return Pool(pool.pool, pool.size, pool.stride or pool.size, pool.padding)
