"""From a torch `nn.Sequential` to an equilibrium model with the same layers, weights and biases.

The feed-forward pass of the module is the state from which the model starts to settle; the settled state differs from
it, because layers also receive what the layers above send back. A trained classifier therefore keeps its accuracy only
as far as that feedback is weak, and hidden couplings with a spectral norm above 1 settle slowly or not at all.

Not valid for: modules without an energy of this form. Unbounded activations (ReLU), normalisation, dropout, grouped or
dilated convolutions and tied weights are refused. Later changes of the module do not reach the model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from mep_hw import spec as specs
from mep_hw.coupling import Conv, Pool, Shape
from mep_hw.errors import ModelError
from mep_hw.model import Model

SUPPORTED = (
    "Linear, Conv2d, AvgPool2d, MaxPool2d, Flatten, Hardtanh, ReLU6, Hardsigmoid, Sigmoid, Tanh, Identity, "
    "nested Sequential, and a last Softmax or LogSoftmax"
)


def from_torch(
    module: nn.Sequential, *, input_shape: tuple[int, ...] | None = None, cost: str = "squared_error"
) -> Model:
    """The equilibrium model with the layers of `module`, its weights and biases copied.

    Args:
        module: Linear or Conv2d layers, each but the last followed by one bounded activation; pooling before or after
            the activation; Flatten before a Linear that follows a convolution.
        input_shape: of one sample, without the batch; needed unless the first layer is Linear.
        cost: squared_error or cross_entropy. A last Softmax or LogSoftmax is dropped and means cross_entropy.

    Raises:
        ModelError: names the module that has no counterpart, or the shape that does not fit.
    """
    if not _is_sequential(module):
        raise ModelError(
            "from_torch", "module", type(module).__name__,
            rule="must be an nn.Sequential", fix="list the layers in one nn.Sequential, or describe the model in YAML",
        )  # fmt: skip
    modules = [(name, part) for name, part in _flat(module) if type(part) is not nn.Identity]
    if modules and isinstance(modules[-1][1], nn.Softmax | nn.LogSoftmax):
        name, last = modules.pop()
        if last.dim not in (None, 1, -1):
            raise _refused(name, last, f"normalises over dimension {last.dim}", "use dim=1, over the outputs")
        cost = "cross_entropy"
    walk = _Walk(input_shape)
    for name, part in modules:
        walk.take(name, part)
    layers = walk.finish()
    weighted = [layer.module for layer in layers]
    description = {"input": walk.input_shape, "cost": cost, "layers": [layer.description() for layer in layers]}
    model = Model(specs.parse(description, "from_torch"), dtype=weighted[0].weight.dtype)
    for part, weight, bias in zip(weighted, model.weights, model.biases, strict=True):
        weight.copy_(part.weight.detach())
        if bias is not None and part.bias is not None:
            bias.copy_(part.bias.detach().reshape(bias.shape))
    return model


@dataclass
class _Layer:
    """One weighted module with the fixed steps and the activation around it."""

    name: str
    module: nn.Linear | nn.Conv2d
    operator: dict[str, Any]
    before: list[dict[str, Any]]
    after: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    activation: str | dict[str, float] | None = None

    def description(self) -> dict[str, Any]:
        steps = {"before": self.before, "after": self.after, "activation": self.activation}
        return {**self.operator, **steps, "bias": self.module.bias is not None}


class _Walk:
    """Follows a sample's shape through the modules and gathers layers; `shape` None until something fixes it."""

    def __init__(self, input_shape: tuple[int, ...] | None) -> None:
        self.input_shape = self.shape = None if input_shape is None else tuple(input_shape)
        self.layers: list[_Layer] = []
        self.pending: list[dict[str, Any]] = []  # pooling that belongs to the next layer
        self.last_name, self.last = "", nn.Module()

    def take(self, name: str, part: nn.Module) -> None:
        kind = type(part)  # exact: a subclass may compute something else
        self.last_name, self.last = name, part
        if isinstance(part, nn.Linear | nn.Conv2d) and kind in (nn.Linear, nn.Conv2d):
            self._weighted(name, part)
        elif isinstance(part, nn.AvgPool2d | nn.MaxPool2d) and kind in (nn.AvgPool2d, nn.MaxPool2d):
            self._pool(name, part)
        elif isinstance(part, nn.Flatten) and kind is nn.Flatten:
            self._flatten(name, part)
        else:
            self._activate(name, part)

    def finish(self) -> list[_Layer]:
        """The layers, once it is certain that they end in a linear read-out."""
        if not self.layers:
            raise ModelError("from_torch", "module", rule="holds no Linear or Conv2d layer", fix="end it with a Linear")
        if not isinstance(self.last, nn.Linear):
            raise _refused(
                self.last_name, self.last, "comes last, but the read-out is a Linear with nothing after it",
                "end the module with a Linear, or with a Softmax after it",
            )  # fmt: skip
        return self.layers

    def _weighted(self, name: str, part: nn.Linear | nn.Conv2d) -> None:
        if self.layers and self.layers[-1].activation is None:
            bare = self.layers[-1]
            fix = "put one behind it, such as Hardtanh(0, 1)"
            raise _refused(bare.name, bare.module, "has no activation before the next layer", fix)
        if any(layer.module is part for layer in self.layers):
            raise _refused(name, part, "occurs twice, and tied weights are not supported", "use a second module")
        if isinstance(part, nn.Linear):
            operator, shape = self._linear(name, part)
        else:
            operator, shape = self._conv(name, part)
        self.layers.append(_Layer(name, part, operator, self.pending))
        self.pending, self.shape = [], shape

    def _linear(self, name: str, part: nn.Linear) -> tuple[dict[str, Any], Shape]:
        if self.shape is None:
            self.input_shape = self.shape = (part.in_features,)
        if len(self.shape) != 1:
            raise _refused(name, part, f"follows a shape of {self.shape}", "put a Flatten before it")
        given = self.shape[0]
        if given != part.in_features:
            raise _refused(
                name, part, f"has in_features {part.in_features}, but what comes before it gives {given}",
                f"use Linear({given}, {part.out_features}) or another input_shape",
            )  # fmt: skip
        return {"dense": part.out_features}, (part.out_features,)

    def _conv(self, name: str, part: nn.Conv2d) -> tuple[dict[str, Any], Shape]:
        shape = self._image(name, part)
        if part.groups != 1 or tuple(part.dilation) != (1, 1) or part.padding_mode != "zeros":
            rule = "must have groups=1, dilation=1 and padding_mode='zeros'"
            raise _refused(name, part, rule, "use a plain convolution")
        kernel = _square(name, part, "kernel_size", part.kernel_size)
        stride = _square(name, part, "stride", part.stride)
        if part.padding == "same" and kernel % 2 == 0:
            raise _refused(name, part, "pads one side more than the other", "use an odd kernel or a number as padding")
        padding = {"same": kernel // 2, "valid": 0}.get(str(part.padding))
        padding = _square(name, part, "padding", part.padding) if padding is None else padding
        if shape[0] != part.in_channels:
            raise _refused(
                name, part, f"has in_channels {part.in_channels}, but what comes before it gives {shape[0]}",
                "match the channels or the input_shape",
            )  # fmt: skip
        conv = Conv(part.out_channels, kernel, stride, padding)
        operator = {"channels": conv.channels, "kernel": kernel, "stride": stride, "padding": padding}
        return {"conv": operator}, conv.shape(shape)

    def _pool(self, name: str, part: nn.AvgPool2d | nn.MaxPool2d) -> None:
        shape = self._image(name, part)
        plain = not part.ceil_mode
        if isinstance(part, nn.MaxPool2d):
            plain = plain and part.dilation in (1, (1, 1)) and not part.return_indices
        else:
            plain = plain and part.divisor_override is None and (part.count_include_pad or part.padding in (0, (0, 0)))
        if not plain:
            rule = "uses ceil_mode, dilation, return_indices, divisor_override or count_include_pad=False"
            raise _refused(name, part, rule, "use the plain form of pooling")
        kind = "max" if isinstance(part, nn.MaxPool2d) else "avg"
        size = _square(name, part, "kernel_size", part.kernel_size)
        stride, padding = _square(name, part, "stride", part.stride), _square(name, part, "padding", part.padding)
        step = {"pool": kind, "size": size, "stride": stride, "padding": padding}
        # Before its activation a layer still counts pooling as its own; behind it, pooling belongs to the next one.
        inside = bool(self.layers) and self.layers[-1].activation is None
        (self.layers[-1].after if inside else self.pending).append(step)
        self.shape = Pool(kind, size, stride, padding).shape(shape)

    def _flatten(self, name: str, part: nn.Flatten) -> None:
        if part.start_dim != 1 or part.end_dim != -1:
            raise _refused(name, part, "flattens only some dimensions of a sample", "use Flatten()")
        if self.shape is not None:
            self.shape = (math.prod(self.shape),)

    def _activate(self, name: str, part: nn.Module) -> None:
        activation = _activation(part)
        if activation is None:
            wanted = "ReLU6 or Hardtanh(0, 1), since an unbounded activation has no energy minimum; "
            fix = wanted if isinstance(part, nn.ReLU) else ""
            raise _refused(name, part, "has no counterpart in an equilibrium model", f"use {fix}supported: {SUPPORTED}")
        if not self.layers or self.layers[-1].activation is not None:
            raise _refused(name, part, "does not follow a Linear or Conv2d", "give each layer exactly one activation")
        self.layers[-1].activation = activation

    def _image(self, name: str, part: nn.Module) -> Shape:
        if self.shape is None:
            fix = "give input_shape=(channels, height, width)"
            raise _refused(name, part, "needs to know the size of its input", fix)
        if len(self.shape) != 3:
            rule = f"needs (channels, height, width), but what comes before it gives {self.shape}"
            raise _refused(name, part, rule, "give input_shape=(channels, height, width), and flatten only afterwards")
        return self.shape


def _activation(part: nn.Module) -> str | dict[str, float] | None:
    kind = type(part)
    if isinstance(part, nn.Hardtanh) and kind is nn.Hardtanh:  # ReLU6 is a subclass of it
        return {"low": float(part.min_val), "high": float(part.max_val)}
    if kind is nn.Hardsigmoid:
        return {"low": 0.0, "high": 1.0, "gain": 1 / 6, "offset": 1 / 2}
    return {nn.ReLU6: "clipped_relu", nn.Sigmoid: "sigmoid", nn.Tanh: "tanh"}.get(kind)  # pyright: ignore


def _is_sequential(module: nn.Module) -> bool:
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def _flat(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    if not isinstance(module, nn.Sequential) or not _is_sequential(module):
        yield prefix, module
        return
    for index, part in enumerate(module):  # unlike named_children, this keeps a module that occurs twice
        yield from _flat(part, f"{prefix}.{index}" if prefix else str(index))


def _square(name: str, part: nn.Module, argument: str, value: Any) -> int:
    both = (value, value) if isinstance(value, int) else tuple(value)
    if len(both) != 2 or both[0] != both[1]:
        raise _refused(name, part, f"has {argument} {value}, which is not square", f"use one number as {argument}")
    return both[0]


def _refused(name: str, part: nn.Module, rule: str, fix: str) -> ModelError:
    return ModelError("from_torch", f"module {name} ({type(part).__name__})", rule=rule, fix=fix)


def as_model(model: Model | nn.Sequential, input_shape: tuple[int, ...]) -> Model:
    """`model` itself, or the equilibrium model of an `nn.Sequential` for samples of `input_shape`."""
    if isinstance(model, Model):
        return model
    return from_torch(model, input_shape=input_shape)
