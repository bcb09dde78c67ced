"""Which unit of one population has a synapse to which unit of another, without writing all synapses down.

Convolution, pooling and dense couplings are products: units of two populations are connected when their positions are
and their channels are. Positions of windows are in turn products of rows and columns. Channels are all connected, but
for identity skips, where each unit has one partner. Units are numbered position by position, all channels of a position
together, so that a core with a run of units sees few positions of a convolution's source.

Shared weights are unrolled: each synapse of a convolution counts by itself. Average pooling is part of the synapses of
its coupling. Max pooling has no synapses: which unit it listens to depends on the state, and it is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mep_hw.coupling import Conv, Coupling, Identity, Pool, Shape
from mep_hw.errors import CapabilityError
from mep_hw.model import Model

Flags: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True)
class Grid:
    """A population's units: so many positions of so many channels."""

    positions: int
    channels: int

    @property
    def units(self) -> int:
        return self.positions * self.channels

    def of(self, first: int, last: int) -> NDArray[Any]:
        """Units of the run first .. last - 1 at each position, (positions,)."""
        starts = np.arange(self.positions) * self.channels
        return np.clip(np.minimum(starts + self.channels, last) - np.maximum(starts, first), 0, None)


def grid(shape: Shape) -> Grid:
    """(channels, rows, columns) has rows times columns positions, any other shape one."""
    return Grid(shape[1] * shape[2], shape[0]) if len(shape) == 3 else Grid(1, int(np.prod(shape)))


@dataclass(frozen=True)
class Wiring:
    """Synapses from population `source` (0 is the input) to `target`, by one coupling in one direction.

    positions: (target positions, source positions), which are connected.
    paired: each unit has one partner at its position, instead of all channels there.
    weights: different numbers among the synapses, of a convolution fewer than synapses.
    """

    coupling: str
    backward: bool
    source: int
    target: int
    from_: Grid
    to: Grid
    positions: Flags
    paired: bool
    weights: int
    learned: bool

    @property
    def synapses(self) -> int:
        pairs = self.to.channels if self.paired else self.to.channels * self.from_.channels
        return int(self.positions.sum()) * pairs

    @property
    def dense(self) -> bool:
        """Every unit of the source reaches every unit of the target, so that no synapse has to name its neuron."""
        return not self.paired and bool(self.positions.all())

    @property
    def fan_in(self) -> int:
        """Synapses into the unit that has most."""
        return int(self.positions.sum(1).max()) * (1 if self.paired else self.from_.channels)

    @property
    def fan_out(self) -> int:
        """Synapses from the unit that has most."""
        return int(self.positions.sum(0).max()) * (1 if self.paired else self.to.channels)

    def heard(self, first: int, last: int) -> NDArray[Any]:
        """Synapses of every source unit that reaches the run of target units first .. last - 1, (source units heard,).

        Units that the run does not hear are left out.
        """
        units = self.to.of(first, last)
        if self.paired:
            return np.ones(int(units.sum()), dtype=np.int64)
        per_position = self.positions.T.astype(np.int64) @ units
        return np.repeat(per_position[per_position > 0], self.from_.channels)

    def reaching(self, first: int, last: int, core: tuple[int, int]) -> int:
        """Source units among first .. last - 1 that reach the run of target units `core`."""
        if self.paired:
            return max(0, min(last, core[1]) - max(first, core[0]))
        seen = self.positions[self.to.of(*core) > 0].any(0)
        return int(self.from_.of(first, last)[seen].sum())


def wirings(model: Model) -> list[Wiring]:
    """All couplings of a model in both directions; the input, which nothing moves, gets no way back.

    Raises:
        CapabilityError: a max pooling.
    """
    return [wiring for coupling in model.couplings for wiring in _both(coupling)]


def _both(coupling: Coupling) -> Iterator[Wiring]:
    if coupling.routes_by_argmax:
        raise CapabilityError(
            f"layer {coupling.target}", "pool", "max", rule="chooses its source by the state, which no synapse does",
            fix="use average pooling, or a stride",
        )  # fmt: skip
    from_, to = grid(coupling.source_shape), grid(coupling.target_shape)
    positions, paired = _positions(coupling), isinstance(coupling.operator, Identity)
    count = int(np.prod(coupling.weight_shape))
    yield Wiring(
        coupling.name, False, coupling.source, coupling.target, from_, to, positions, paired, count, coupling.trainable
    )
    if coupling.source:
        yield Wiring(
            coupling.name, True, coupling.target, coupling.source, to, from_, positions.T, paired, count,
            coupling.trainable,
        )  # fmt: skip


def _positions(coupling: Coupling) -> Flags:
    """(target positions, source positions) that one coupling connects."""
    from_, to = grid(coupling.source_shape), grid(coupling.target_shape)
    if isinstance(coupling.operator, Identity):
        return np.eye(from_.positions, dtype=bool)
    if not isinstance(coupling.operator, Conv):
        return _dense(coupling, from_, to)
    rows, columns = (_axis(coupling, axis) for axis in (1, 2))
    return np.kron(rows, columns).astype(bool)


def _dense(coupling: Coupling, from_: Grid, to: Grid) -> Flags:
    """All that the pools before it keep."""
    if not coupling.before:
        return np.ones((to.positions, from_.positions), dtype=bool)
    kept = np.kron(*(_axis(coupling, axis).any(0) for axis in (1, 2))).astype(bool)
    return np.repeat(kept[None], to.positions, axis=0)


def _axis(coupling: Coupling, axis: int) -> Flags:
    """Which source rows (axis 1) or columns (2) the last window of a chain of pools and convolution sees."""
    size = coupling.source_shape[axis]
    seen = np.eye(size, dtype=np.int64)
    operator = [coupling.operator] if isinstance(coupling.operator, Conv) else []
    for step in (*coupling.before, *operator, *coupling.after):
        window = step.size if isinstance(step, Pool) else step.kernel
        seen = _windows(len(seen), window, step.stride, step.padding) @ seen
    return seen > 0


def _windows(size: int, window: int, stride: int, padding: int) -> NDArray[np.int64]:
    """(places, size): what each place of a sliding window covers; padding is beyond the edge and no source."""
    places = (size + 2 * padding - window) // stride + 1
    first = np.arange(places)[:, None] * stride - padding
    at = np.arange(size)[None]
    return ((at >= first) & (at < first + window)).astype(np.int64)
