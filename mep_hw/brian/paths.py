"""A coupling unrolled: every way from a source unit to a target unit, the weight on it, and a fixed factor.

Phi(s)_i = sum over paths p with target i of factor_p * W[weight_p] * s[source_p], and its transpose is the same list
read the other way. Windows of convolutions and average pools (F.conv2d, F.avg_pool2d with zeros around the image, which
count in the mean) are written out from their definitions; nothing here multiplies states.

Two units may be joined by several paths, as behind a pool. The list grows with units times fan-in: megabytes for small
images, too much for large ones. Max pooling is no fixed list of paths and is refused where the machine is built.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mep_hw.coupling import Conv, Coupling, Dense, Pool, Shape

Indices: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Paths:
    """All arrays are (paths,).

    target, source: flat unit numbers, without the batch.
    weight: index into the flattened weights; 0 on fixed steps, so that the indices along a chain add up.
    factor: what fixed steps multiply.
    """

    target: Indices
    source: Indices
    weight: Indices
    factor: Floats

    def after(self, first: Paths) -> Paths:
        """The chain: `first`, then this one."""
        order = np.argsort(first.target, kind="stable")
        ends = first.target[order]
        low, high = (np.searchsorted(ends, self.source, side) for side in ("left", "right"))
        count = high - low
        mine = np.repeat(np.arange(len(self.source)), count)
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        theirs = order[np.repeat(low, count) + within]
        weight, factor = self.weight[mine] + first.weight[theirs], self.factor[mine] * first.factor[theirs]
        return Paths(self.target[mine], first.source[theirs], weight, factor)


def paths(coupling: Coupling) -> Paths:
    """All paths of a coupling without max pooling."""
    chain: list[Paths] = []
    shape = coupling.source_shape
    for pool in coupling.before:
        chain.append(_pooled(pool, shape))
        shape = pool.shape(shape)
    chain.append(_weighted(coupling.operator, shape))
    shape = coupling.operator.shape(shape)
    for pool in coupling.after:
        chain.append(_pooled(pool, shape))
        shape = pool.shape(shape)
    whole = chain[0]
    for step in chain[1:]:
        whole = step.after(whole)
    return whole


def _weighted(operator: object, shape: Shape) -> Paths:
    units = int(np.prod(shape))
    if isinstance(operator, Dense):
        target, source = (index.ravel() for index in np.indices((operator.outputs, units)))
        return _plain(target, source, target * units + source)
    if isinstance(operator, Conv):
        out, inner, tap = _windows(shape, operator.shape(shape), operator.kernel, operator.stride, operator.padding)
        size, taps = len(out), operator.kernel**2
        channel, below = (np.repeat(index.ravel(), size) for index in np.indices((operator.channels, shape[0])))
        again = operator.channels * shape[0]
        places = int(np.prod(operator.shape(shape)[1:]))
        target = channel * places + np.tile(out, again)
        source = below * shape[1] * shape[2] + np.tile(inner, again)
        return _plain(target, source, (channel * shape[0] + below) * taps + np.tile(tap, again))
    every = np.arange(units)  # the identity has one number for all
    return _plain(every, every, np.zeros_like(every))


def _plain(target: Indices, source: Indices, weight: Indices) -> Paths:
    return Paths(target, source, weight, np.ones(len(target)))


def _pooled(pool: Pool, shape: Shape) -> Paths:
    assert pool.kind == "avg"  # max pooling was refused
    pooled = pool.shape(shape)
    out, inner, _ = _windows(shape, pooled, pool.size, pool.stride, pool.padding)
    channel = np.repeat(np.arange(shape[0]), len(out))
    target = channel * pooled[1] * pooled[2] + np.tile(out, shape[0])
    source = channel * shape[1] * shape[2] + np.tile(inner, shape[0])
    return Paths(target, source, np.zeros_like(target), np.full(len(target), 1 / pool.size**2))


def _windows(shape: Shape, result: Shape, size: int, stride: int, padding: int) -> tuple[Indices, Indices, Indices]:
    """Of one channel: place in the result, place in the image, and place in the window, without those in the margin."""
    row, column, i, j = (index.ravel() for index in np.indices((result[1], result[2], size, size)))
    y, x = row * stride + i - padding, column * stride + j - padding
    inside = (0 <= y) & (y < shape[1]) & (0 <= x) & (x < shape[2])
    out, inner, tap = row * result[2] + column, y * shape[2] + x, i * size + j
    return out[inside], inner[inside], tap[inside]
