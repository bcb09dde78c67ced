"""What is put on the chip: populations of units, connections between them, and one phase to run; numbers only.

Plain arrays and no tensors, so that Lava's worker, in a Python of its own, is given exactly what the emulator computes.
All populations are updated at once, in steps of dt = 2^-step_shift time constants (Euler, see `mep_hw.flow`):

    box unit      v <- clamp(v + round((A + (b - v) 2^shift) / 2^(shift + step_shift)), low, high)      sends v
    smooth unit   u <- the same                                                                         sends rho(u)
    read-out      o <- the same, with b + round(beta (y - o) / 2^beta_fraction) for b                   sends o

A is the sum over all connections into the population, weights times what was sent in the step before, as 32-bit
integers. Rounding is to the nearest whole number, halves upward: (x + 2^(n-1)) >> n with an arithmetic shift, nothing
for n = 0. v, u, o, b, y, low and high are whole numbers of the state format, 2^-state_fraction; `low` and `high` are
the bounds of a box, and of all other units those of their registers. What is sent is rounded by `payload_shift` bits
and then saturates: min(max(round(v / 2^payload_shift), -payload_limit), payload_limit - 1).

In floating point (`fixed` False) nothing is rounded and nothing saturates but boxes at their bounds: A is in units of
the state, all shifts are 0 and the step is `dt`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]  # int64 on a fixed-point network, float64 on one in floating point


@dataclass(frozen=True)
class Connection:
    """Weights (target units, source units) from population `source` (0: the input) to population `target`.

    Fixed point: even whole numbers from -256 to 254, Loihi's 8 bits of mixed sign, and products are shifted left by
    `exponent`, so that all connections into one population have one scale.
    """

    source: int
    target: int
    weights: Array
    exponent: int = 0


@dataclass(frozen=True)
class Curve:
    """rho of smooth units. In fixed point a table over u from -2^(step_bits + bits) up, 2^(bits + 1) steps wide:

    i = (clamp(u, first, last) - first) >> step_bits, and linear between values[i] and values[i + 1], with
    round((values[i + 1] - values[i]) * rest / 2^step_bits); `values` (2^(bits + 1) + 1,) in the state format; first is
    -2^(step_bits + bits), last -first - 1. In floating point the function of that name, and the table is None.
    """

    name: Literal["tanh", "sigmoid"]
    values: Array | None = None
    step_bits: int = 0


@dataclass(frozen=True)
class Population:
    """The units of one layer; smooth ones have a `curve`. The last population is the read-out.

    bias: (units,) in the state format.
    shift: A is in units of 2^-shift of the state's own unit.
    low, high: None where there are none.
    """

    bias: Array
    shift: int = 0
    low: float | None = None
    high: float | None = None
    curve: Curve | None = None

    @property
    def units(self) -> int:
        return len(self.bias)


@dataclass(frozen=True)
class Network:
    """Populations 1 to n, the last of which is the read-out, and the connections of both directions."""

    fixed: bool
    populations: tuple[Population, ...]
    connections: tuple[Connection, ...]
    step_shift: int = 0
    payload_shift: int = 0
    payload_limit: int = 0
    beta_fraction: int = 0
    dt: float = 1.0


@dataclass(frozen=True)
class Phase:
    """One batch to settle: `steps` updates of all populations at once, from `start`.

    inputs: (rows, input units) as they are sent, in the payload format.
    start: per population (rows, units) v, u or o; what they send is sent before the first update.
    beta: (rows,) in units of 2^-beta_fraction; 0 in a free phase.
    target: (rows, read-out units) in the state format.
    """

    inputs: Array
    start: tuple[Array, ...]
    beta: Array
    target: Array
    steps: int


@dataclass(frozen=True)
class Reached:
    """Per population (rows, units): after the last update, and before it."""

    state: tuple[Array, ...]
    earlier: tuple[Array, ...]


def table(curve: str, fraction: int, bits: int, reach: int) -> Curve:
    """The table of a smooth unit: 2^(bits + 1) straight pieces over -2^reach <= u < 2^reach, `fraction` bits behind
    the binary point."""
    assert curve in ("tanh", "sigmoid")
    edges = np.arange(-(2**bits), 2**bits + 1) * 2.0 ** (reach - bits)
    exact = np.tanh(edges) if curve == "tanh" else 0.5 * (1 + np.tanh(edges / 2))
    return Curve(curve, np.floor(exact * 2**fraction + 0.5).astype(np.int64), fraction + reach - bits)
