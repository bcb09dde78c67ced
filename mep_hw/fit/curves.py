"""The curves of `fit_shapes`: how a step depends on the place of its cell in its range, and what the card says of it.

    exp-step     s - p e^(gamma z) up, s - p e^(-gamma z) down, z = 2 w / (high - low); A = p / s. a = 1 and b = 0 by
                 definition, as steps show only their products with gamma and A
    power-step   s (room / (high - low))^gamma; the bounds lie beyond what was seen by fitted shares of the range
    piecewise    steps at five places, equally spaced over the range, lines between

Not valid for gamma of exp-step beyond 8, where the curve is a step function.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from mep_hw.fit.estimate import Estimate
from mep_hw.fit.found import Numbers
from mep_hw.fit.readings import Floats
from mep_hw.fit.steps import Flags

_NODES = 5
_STEEPEST = 8.0
_LEAST = 1e-9


class Curve(ABC):
    """A curve per direction. Parameters (2, n): those of up, then those of down; `lowest` (n,) bounds them."""

    lowest: Sequence[float]

    def place(self, weight: Floats, low: Floats, high: Floats) -> Floats:
        """Where weights are in the ranges of their cells: 0 to 1."""
        return (weight - low) / (high - low)

    @abstractmethod
    def size(self, theta: Floats, place: Floats, up: Flags) -> Floats:
        """Mean step without its sign, of a cell with gain 1."""

    @abstractmethod
    def start(self, place: Floats, size: Floats, up: bool) -> Sequence[float]:
        """First guess of one direction's parameters, from measured steps."""

    @abstractmethod
    def numbers(self, theta: Floats, errors: Floats) -> Numbers:
        """The response block of the card, without `up_down`."""

    def base(self, theta: Floats) -> tuple[float, float]:
        """The steps of both directions that dw_min stands for; of the errors, theirs."""
        return float(theta[0, 0]), float(theta[1, 0])

    def bounds(self, theta: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
        """Bounds of cells that were seen between `low` and `high`, (cells,)."""
        return low, high

    def bound_errors(self, errors: Floats, width: float) -> tuple[float, float]:
        """What the errors of the parameters do to the bounds of cells of this width."""
        return 0.0, 0.0


class Exponential(Curve):
    lowest = (_LEAST, -np.inf, -_STEEPEST)

    def place(self, weight: Floats, low: Floats, high: Floats) -> Floats:
        return 2 * weight / (high - low)

    def size(self, theta: Floats, place: Floats, up: Flags) -> Floats:
        (s_up, p_up, g_up), (s_down, p_down, g_down) = theta
        bent = np.where(up, s_up - p_up * np.exp(g_up * place), s_down - p_down * np.exp(-g_down * place))
        return np.maximum(bent, 0)

    def start(self, place: Floats, size: Floats, up: bool) -> Sequence[float]:
        # Given gamma the curve is linear in s and p.
        best, guess = np.inf, (float(abs(size.mean())), 0.0, 1.0)
        for gamma in (-4.0, -2.0, -1.0, -0.5, 0.5, 1.0, 2.0, 4.0):
            columns = np.stack([np.ones_like(place), -np.exp(gamma * place if up else -gamma * place)], axis=1)
            solution = np.linalg.lstsq(columns, size)[0]
            misfit = float(((columns @ solution - size) ** 2).sum())
            if misfit < best and solution[0] > _LEAST:
                best, guess = misfit, (float(solution[0]), float(solution[1]), gamma)
        return guess

    def numbers(self, theta: Floats, errors: Floats) -> Numbers:
        one, none = Estimate(1.0, 0.0), Estimate(0.0, 0.0)
        found: Numbers = {"a": one, "b": none}
        for kind, (s, p, g), (s_error, p_error, g_error) in zip(("up", "down"), theta, errors, strict=True):
            error = float(np.hypot(p_error, p / s * s_error) / s)
            found[f"amplitude_{kind}"] = Estimate(float(p / s), error)
            found[f"gamma_{kind}"] = Estimate(float(g), float(g_error))
        return found | {"noise_floor": none, "noise_slope": none}


class Power(Curve):
    lowest = (_LEAST, 0.0, 0.0)

    def size(self, theta: Floats, place: Floats, up: Flags) -> Floats:
        (s_up, g_up, over), (s_down, g_down, under) = theta
        width = 1 + over + under
        room_up, room_down = np.maximum(1 + over - place, _LEAST) / width, np.maximum(place + under, _LEAST) / width
        return np.where(up, s_up * room_up**g_up, s_down * room_down**g_down)

    def start(self, place: Floats, size: Floats, up: bool) -> Sequence[float]:
        return 2 * float(abs(size.mean())), 1.0, 0.05

    def numbers(self, theta: Floats, errors: Floats) -> Numbers:
        (up, down), (up_error, down_error) = theta[:, 1], errors[:, 1]
        large, small = max(up, down), min(up, down)
        large_error, small_error = (up_error, down_error) if up >= down else (down_error, up_error)
        share = 1 - small / large
        share_error = float(np.hypot(small_error, small / large * large_error) / large)
        none = Estimate(0.0, 0.0)
        return {
            "gamma": Estimate(float(large), float(large_error)),
            "gamma_spread": none,
            "gamma_up_down": Estimate(float(share if up >= down else -share), share_error),
            "gamma_up_down_spread": none,
        }

    def bounds(self, theta: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
        over, under = theta[:, 2]
        return low - under * (high - low), high + over * (high - low)

    def bound_errors(self, errors: Floats, width: float) -> tuple[float, float]:
        over, under = errors[:, 2]
        return float(under * width), float(over * width)


class Piecewise(Curve):
    lowest = (0.0,) * _NODES

    def size(self, theta: Floats, place: Floats, up: Flags) -> Floats:
        nodes = np.linspace(0, 1, _NODES)
        return np.where(up, np.interp(place, nodes, theta[0]), np.interp(place, nodes, theta[1]))

    def start(self, place: Floats, size: Floats, up: bool) -> Sequence[float]:
        return [float(abs(size.mean()))] * _NODES

    def numbers(self, theta: Floats, errors: Floats) -> Numbers:
        middle = self.base(theta)[0]
        up, down = (tuple(float(value) for value in row / middle) for row in theta)
        return {"nodes_up": up, "nodes_down": down}

    def base(self, theta: Floats) -> tuple[float, float]:
        middle = float(theta[:, _NODES // 2].mean())
        return middle, middle


CURVES: dict[str, Curve] = {"exp-step": Exponential(), "power-step": Power(), "piecewise": Piecewise()}
