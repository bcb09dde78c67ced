"""Symmetric couplings between layers: Phi(s; W) forward, its transpose back, and the local product that trains W.

A coupling is [fixed steps before] -> one weighted operator -> [fixed steps after], for example conv then average
pooling. The same weights serve both directions: `forward` gives Phi(s_source) and `backward` gives the derivative of
<s_target, Phi(s_source)> with respect to s_source. Max pooling is the one non-linear step: its transpose routes through
the argmax of the current source state, so the energy is only piecewise bilinear and a tie that flips between the phases
breaks the EP gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_input, conv2d_weight

from mep_hw.errors import ModelError
from mep_hw.outersum import OuterSum, Update

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Pool:
    """Average or max pooling over square windows; a fixed step without weights."""

    kind: str  # "avg" or "max"
    size: int
    stride: int
    padding: int = 0

    def shape(self, shape: Shape) -> Shape:
        if len(shape) != 3:
            raise ModelError(
                "pool",
                "input",
                shape,
                rule="pooling needs (channels, height, width)",
                fix="pool before Flatten or Linear",
            )
        return (shape[0], *(_extent(n, self.size, self.stride, self.padding, "pool") for n in shape[1:]))

    def forward(self, value: Tensor) -> Tensor:
        if self.kind == "avg" and value.is_complex():  # linear, and torch pools real numbers only
            return torch.complex(self.forward(value.real), self.forward(value.imag))
        pool = F.avg_pool2d if self.kind == "avg" else F.max_pool2d
        return pool(value, self.size, self.stride, self.padding)

    def backward(self, value: Tensor, source: Tensor) -> Tensor:
        if self.kind == "avg":
            if value.is_complex():  # linear, and the library has the real kernel only
                return torch.complex(self.backward(value.real, source.real), self.backward(value.imag, source.real))
            return torch.ops.aten.avg_pool2d_backward(
                value.contiguous(), source, [self.size] * 2, [self.stride] * 2, [self.padding] * 2, False, True, None
            )
        index = F.max_pool2d(source, self.size, self.stride, self.padding, return_indices=True)[1]
        return torch.ops.aten.max_pool2d_with_indices_backward(
            value, source, [self.size] * 2, [self.stride] * 2, [self.padding] * 2, [1, 1], False, index
        )


@dataclass(frozen=True)
class Dense:
    """y = W s with W of shape (out, in); the source is flattened."""

    outputs: int

    def shape(self, shape: Shape) -> Shape:
        return (self.outputs,)

    def weight_shape(self, shape: Shape) -> Shape:
        return (self.outputs, _count(shape))

    def forward(self, value: Tensor, weight: Tensor, add: Tensor | None) -> Tensor:
        flat = _rows(value)
        return flat @ weight.T if add is None else torch.addmm(add, flat, weight.T)

    def backward(self, value: Tensor, weight: Tensor, shape: Shape, add: Tensor | None) -> Tensor:
        if add is None or len(shape) > 1:
            product = value @ weight
            product = product.unflatten(1, shape) if len(shape) > 1 else product
            return product if add is None else product.add_(add)
        return torch.addmm(add, value, weight)

    def product(self, target: Tensor, source: Tensor, weight_shape: Shape) -> Update:
        return OuterSum(target.T, _rows(source).T)

    def rows(self, target: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        return _rows(source), target


@dataclass(frozen=True)
class Conv:
    """2-D convolution with a square kernel; W of shape (out, in, k, k)."""

    channels: int
    kernel: int
    stride: int = 1
    padding: int = 0

    def shape(self, shape: Shape) -> Shape:
        if len(shape) != 3:
            raise ModelError(
                "conv",
                "input",
                shape,
                rule="convolution needs (channels, height, width)",
                fix="give input_shape=(C, H, W)",
            )
        return (self.channels, *(_extent(n, self.kernel, self.stride, self.padding, "conv") for n in shape[1:]))

    def weight_shape(self, shape: Shape) -> Shape:
        return (self.channels, shape[0], self.kernel, self.kernel)

    def forward(self, value: Tensor, weight: Tensor, add: Tensor | None) -> Tensor:
        result = F.conv2d(value, weight, stride=self.stride, padding=self.padding)
        return result if add is None else result.add_(add)

    def backward(self, value: Tensor, weight: Tensor, shape: Shape, add: Tensor | None) -> Tensor:
        if value.is_complex():  # weights are real, and torch has this operation for real numbers only
            parts = (self.backward(part, weight.real, shape, None) for part in (value.real, value.imag))
            result = torch.complex(*parts)
        else:
            result = conv2d_input([len(value), *shape], weight, value, stride=self.stride, padding=self.padding)
        return result if add is None else result.add_(add)

    def product(self, target: Tensor, source: Tensor, weight_shape: Shape) -> Update:
        return conv2d_weight(source, list(weight_shape), target, stride=self.stride, padding=self.padding)

    def rows(self, target: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        patches = F.unfold(source, self.kernel, padding=self.padding, stride=self.stride)
        return patches.transpose(1, 2).flatten(0, 1), target.flatten(2).transpose(1, 2).flatten(0, 1)


@dataclass(frozen=True)
class Identity:
    """y = W s with a single fixed number W: a residual link between layers of the same shape."""

    def shape(self, shape: Shape) -> Shape:
        return shape

    def weight_shape(self, shape: Shape) -> Shape:
        return ()

    def forward(self, value: Tensor, weight: Tensor, add: Tensor | None) -> Tensor:
        return value * weight if add is None else torch.addcmul(add, value, weight)

    def backward(self, value: Tensor, weight: Tensor, shape: Shape, add: Tensor | None) -> Tensor:
        return self.forward(value, weight, add)

    def product(self, target: Tensor, source: Tensor, weight_shape: Shape) -> Update:
        return (target * source).sum()

    def rows(self, target: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        return source.reshape(-1, 1), target.reshape(-1, 1)


@dataclass(frozen=True)
class Coupling:
    """<s_target, Phi(s_source; W)>: `source` 0 is the input, layers count from 1; shapes are without the batch."""

    name: str
    source: int
    target: int
    source_shape: Shape
    operator: Dense | Conv | Identity
    before: tuple[Pool, ...] = ()
    after: tuple[Pool, ...] = ()
    trainable: bool = True

    @cached_property
    def operand_shape(self) -> Shape:
        """Shape of what the weighted operator sees."""
        shape = self.source_shape
        for pool in self.before:
            shape = pool.shape(shape)
        return shape

    @cached_property
    def target_shape(self) -> Shape:
        shape = self.operator.shape(self.operand_shape)
        for pool in self.after:
            shape = pool.shape(shape)
        return shape

    @cached_property
    def weight_shape(self) -> Shape:
        return self.operator.weight_shape(self.operand_shape)

    @property
    def routes_by_argmax(self) -> bool:
        """True with max pooling: the transpose then depends on the source state."""
        return any(pool.kind == "max" for pool in (*self.before, *self.after))

    def forward(self, source: Tensor, weight: Tensor, add: Tensor | None = None) -> Tensor:
        """Phi(source) + add; source (batch, *source_shape), result (batch, *target_shape)."""
        value = self.operand(source)
        if not self.after:
            return self.operator.forward(value, weight, add)
        value = self.operator.forward(value, weight, None)
        for pool in self.after:
            value = pool.forward(value)
        return value if add is None else value.add_(add)

    def backward(self, target: Tensor, weight: Tensor, source: Tensor, add: Tensor | None = None) -> Tensor:
        """d<target, Phi(source)>/d source + add; only max pooling reads the values of `source`."""
        value = self.unpool_after(target, source, weight)
        if not self.before:
            return self.operator.backward(value, weight, self.operand_shape, add)
        value = self.unpool_before(self.operator.backward(value, weight, self.operand_shape, None), source)
        return value if add is None else value.add_(add)

    def product(self, target: Tensor, source: Tensor, weight: Tensor) -> Update:
        """d<target, Phi(source)>/dW summed over the batch: the local product of both states."""
        return self.operator.product(self.unpool_after(target, source, weight), self.operand(source), self.weight_shape)

    def local(self, target: Tensor, source: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """What the weights see: (n, in) and (n, out) whose product over n is `product`; n counts positions too."""
        return self.operator.rows(self.unpool_after(target, source, weight), self.operand(source))

    def operand(self, source: Tensor) -> Tensor:
        """What the weighted operator sees of `source`, (batch, *operand_shape)."""
        for pool in self.before:
            source = pool.forward(source)
        return source

    def unpool_before(self, value: Tensor, source: Tensor) -> Tensor:
        """Back through the pools before the operator, (batch, *source_shape)."""
        stages = [source]
        for pool in self.before[:-1]:
            stages.append(pool.forward(stages[-1]))
        for pool, stage in zip(reversed(self.before), reversed(stages[: len(self.before)]), strict=True):
            value = pool.backward(value, stage)
        return value

    def unpool_after(self, target: Tensor, source: Tensor, weight: Tensor | None = None) -> Tensor:
        """Back through the pools behind the operator; max pooling needs the weights, to know its winners."""
        if not self.after:
            return target
        if any(pool.kind == "max" for pool in self.after):
            assert weight is not None  # callers without weights refuse such couplings
            stages = [self.operator.forward(self.operand(source), weight, None)]
        else:  # average pooling reads only shapes, so the convolution need not be run again
            stages = [target.new_empty(()).expand(len(target), *self.operator.shape(self.operand_shape))]
        for pool in self.after[:-1]:
            stages.append(pool.forward(stages[-1]))
        for pool, stage in zip(reversed(self.after), reversed(stages), strict=True):
            target = pool.backward(target, stage)
        return target


def _rows(value: Tensor) -> Tensor:
    """One row per sample; as it is where it is so already, as each call of the library costs a microsecond."""
    return value if value.dim() == 2 else value.flatten(1)


def _count(shape: Shape) -> int:
    count = 1
    for n in shape:
        count *= n
    return count


def _extent(n: int, window: int, stride: int, padding: int, what: str) -> int:
    extent = (n + 2 * padding - window) // stride + 1
    if n + 2 * padding < window or extent < 1:
        raise ModelError(
            what,
            "window",
            window,
            rule=f"does not fit an input of {n} with padding {padding}",
            fix="use a smaller window or fewer layers",
        )
    return extent
