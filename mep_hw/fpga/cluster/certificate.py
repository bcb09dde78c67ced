"""Proof that a cluster without a common clock ends where one with a clock does, and how far apart they may rest.

In whole numbers of the states, a step is s <- clamp(s + round(2^-k F(s))), and F is affine: a unit's own coefficient is
-1, or -(1 + b) at the read-out of a phase nudged by b = +-beta; its neighbours' are M. Let |M| be M's absolute values,
g = min(1 + b, 2^(k+1) - (1 + b)) over all phases (1 but at the read-out), and c = 2^k times what rounding may add to a
change: 2^k/2, and another 1/2 at the read-out for the rounded pull. If positive v satisfies, unit by unit,

    |M| v + c <= g v

then the step without rounding contracts in the norm max |e_i| / v_i by q = 1 - 2^-k min(g - (|M| v) / v) < 1. It has
one fixed point s* in every phase, and with rounding every run comes to |s_i - s*_i| <= v_i and stays: in step, or each
unit on its own with values of its neighbours from any time, as long as new ones come in the end (Chazan and Miranker,
"Chaotic relaxation", Linear Algebra Appl. 2, 1969; Bertsekas and Tsitsiklis, Parallel and Distributed Computation,
1989, ch. 6). Two runs that rest are at most 2 v apart. v is found by iteration of v <- (|M| v + c) / g, which ends
if the spectral radius of |M| / g is below 1, then widened by 2^-10 and held against the condition in whole numbers.

Where that fails, the same with layers in place of units: norms |e_l|_2 of layers, spectral norms of couplings in place
of their entries. It holds as nodes move whole layers and send whole layers, and holds for more models (the signs of
weights count), but its v bounds a layer's norm, and so is wide for a single unit. The spectral norms are floating-point
values plus 1e-9 of themselves, far more than LAPACK's error.

Not a statement about weights that learn: certify again when they have changed. No certificate does not mean that a run
goes astray: both conditions are sufficient only, and look at all weights as if no unit stood at its bound.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mep_hw.errors import CapabilityError, Notice
from mep_hw.fpga.spec import Spec, Values, Whole

Reals = NDArray[np.float64]
POINT = 20  # bits behind the binary point of v
SLACK = 1 + 2.0**-10  # by which v is widened, so that the iteration need not end exactly
ROUNDS, LARGEST, CLOSE = 5000, 2.0**40, 1e-5  # of the iteration: most rounds, largest v, change / c at its end


@dataclass(frozen=True)
class Certificate:
    """The step contracts, for given weights, in all phases.

    Args:
        norm: "units" or "layers", see above.
        factor: q, of one step.
        radius: spectral radius of |M| / g as the iteration saw it; an estimate.
        bounds: |s_i - s*_i| of runs that rest, per layer (units,), in units of the layer's states.
        rounding: what rounding adds to a change at most, per layer.
    """

    norm: Literal["units", "layers"]
    factor: float
    radius: float
    bounds: tuple[Reals, ...]
    rounding: tuple[float, ...]

    def distance(self, changes: Sequence[Whole]) -> tuple[Reals, ...]:
        """How far a state is from the fixed point at most, from what its next step changes, (units,) per layer."""
        worst = 0.0
        for change, rounding, bound in zip(changes, self.rounding, self.bounds, strict=True):
            left = np.abs(change) + rounding
            worst = max(worst, float(np.max(left / bound) if self.norm == "units" else np.linalg.norm(left) / bound[0]))
        return tuple(worst / (1 - self.factor) * bound for bound in self.bounds)


@dataclass(frozen=True)
class _Row:
    """A layer's part of the condition: whole numbers over 2^exponent."""

    up: NDArray[Any] | None
    down: NDArray[Any] | None
    exponent: int
    gain: Fraction
    kick: Fraction


def certify(spec: Spec, values: Values) -> Certificate:
    """The certificate by units, else the one by layers.

    Raises:
        CapabilityError: neither holds; says the spectral radii.
    """
    units = _solved(spec, "units", _by_unit(spec, values))
    if isinstance(units, Certificate):
        return units
    layers = _solved(spec, "layers", _by_layer(spec, values))
    if isinstance(layers, Certificate):
        return layers
    rule = f"no certificate: |M| / g has a spectral radius of {units:.3g} by units and {layers:.3g} by layers"
    raise CapabilityError(
        spec.name, "asynchronous", rule=f"{rule}, and neither is below 1",
        fix="use the synchronous mode, smaller weights, or force=True",
    )  # fmt: skip


def require(spec: Spec, values: Values, *, force: bool = False) -> Certificate | None:
    """The certificate; without one None and a Notice if `force` is set.

    Raises:
        CapabilityError: as `certify` does, unless `force` is set.
    """
    try:
        return certify(spec, values)
    except CapabilityError as error:
        if not force:
            raise
        warnings.warn(f"{spec.name}: runs asynchronously without certificate: {error.rule}", Notice, stacklevel=2)
        return None


def _gain(spec: Spec, layer: int) -> Fraction:
    if layer < spec.depth:
        return Fraction(1)
    beta = Fraction(spec.beta, 1 << spec.beta_fraction)
    return min(min(1 + b, (2 << spec.step_shift) - (1 + b)) for b in (Fraction(0), beta, -beta))


def _kick(spec: Spec, layer: int) -> Fraction:
    return Fraction((1 << spec.step_shift) + (layer == spec.depth), 2)


def _by_unit(spec: Spec, values: Values) -> list[_Row]:
    rows: list[_Row] = []
    for l in range(1, spec.depth + 1):
        _, up_shift, down_shift = spec.shifts(l)
        up = None if l == 1 else np.abs(values.weights[l - 1]).astype(object) * (1 << up_shift)
        down = None if l == spec.depth else np.abs(values.weights[l].T).astype(object) * (1 << down_shift)
        rows.append(_Row(up, down, spec.headroom(l), _gain(spec, l), _kick(spec, l)))
    return rows


def _by_layer(spec: Spec, values: Values) -> list[_Row]:
    norms = [math.ceil(_spectral(weights) * 2**POINT) for weights in values.weights]
    rows: list[_Row] = []
    for l in range(1, spec.depth + 1):
        _, up_shift, down_shift = spec.shifts(l)
        up = None if l == 1 else np.array([[norms[l - 1] << up_shift]], dtype=object)
        down = None if l == spec.depth else np.array([[norms[l] << down_shift]], dtype=object)
        root = Fraction(math.isqrt(spec.layers[l].units << 2 * POINT) + 1, 1 << POINT)  # rounded up
        rows.append(_Row(up, down, spec.headroom(l) + POINT, _gain(spec, l), root * _kick(spec, l)))
    return rows


def _spectral(weights: Whole) -> float:
    return float(np.linalg.norm(weights.astype(np.float64), 2)) * (1 + 1e-9)


def _solved(spec: Spec, norm: Literal["units", "layers"], rows: list[_Row]) -> Certificate | float:
    """The certificate if there is one, else the spectral radius."""
    v, radius = _iterated(rows)
    if v is None:
        return radius
    whole = [np.array([math.ceil(x * SLACK * 2**POINT) for x in part], dtype=object) for part in v]
    drawn = [_drawn(row, whole, place) for place, row in enumerate(rows)]  # |M| v, times 2^POINT
    least: Fraction | None = None
    for row, part, pulled in zip(rows, whole, drawn, strict=True):
        for held, given in zip(part, pulled, strict=True):
            if given + row.kick * (1 << POINT) > row.gain * held:
                return radius
            margin = row.gain - given / held
            least = margin if least is None else min(least, margin)
    assert least is not None
    widths = [part.astype(np.float64) * (1 + 1e-15) / 2**POINT for part in whole]
    units = [layer.units for layer in spec.layers[1:]]
    return Certificate(
        norm, math.nextafter(float(1 - least / (1 << spec.step_shift)), 2), radius,
        tuple(np.broadcast_to(width, count) for width, count in zip(widths, units, strict=True)),
        tuple(float(_kick(spec, layer)) / (1 << spec.step_shift) for layer in range(1, spec.depth + 1)),
    )  # fmt: skip


def _drawn(row: _Row, v: list[NDArray[Any]], place: int) -> list[Fraction]:
    total = 0 if row.up is None else row.up @ v[place - 1]
    total = total if row.down is None else total + row.down @ v[place + 1]
    return [Fraction(int(x), 1 << row.exponent) for x in np.broadcast_to(total, len(v[place]))]


def _iterated(rows: list[_Row]) -> tuple[list[Reals] | None, float]:
    """v to float64's precision, None if there is none; and the spectral radius."""
    if min(row.gain for row in rows) <= 0:
        return None, math.inf
    up = [None if row.up is None else row.up.astype(np.float64) / 2.0**row.exponent for row in rows]
    down = [None if row.down is None else row.down.astype(np.float64) / 2.0**row.exponent for row in rows]
    sizes = [(row.up if row.up is not None else row.down) for row in rows]
    v = [np.zeros(1 if size is None else len(size)) for size in sizes]
    moved, radius = [0.0, 0.0], 0.0
    for _ in range(ROUNDS):
        new: list[Reals] = []
        for place, row in enumerate(rows):
            total = np.full(len(v[place]), float(row.kick))
            above, below = down[place], up[place]
            total += 0 if below is None else below @ v[place - 1]
            total += 0 if above is None else above @ v[place + 1]
            new.append(total / float(row.gain))
        change = math.sqrt(sum(float(((a - b) ** 2).sum()) for a, b in zip(new, v, strict=True)))
        v, largest = new, max(float(part.max()) for part in new)
        radius = math.sqrt(change / moved[0]) if moved[0] else radius  # over two rounds: layers take turns
        moved = [moved[1], change]
        if change <= CLOSE * float(min(row.kick for row in rows)):
            return v, radius
        if largest > LARGEST:
            break
    return None, radius
