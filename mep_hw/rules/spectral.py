"""A bound on the spectral norm of a coupling, kept after every step of any rule.

Sweeps contract while the couplings between layers are weak, and training makes them grow. After the rule has proposed
an update U, a few block power iterations on W + U, warm-started with the last step's singular vectors, find its
strongest directions u_i, v_i with singular values s_i. Then, by `method`:

    hammer      W + U - sum_i (s_i - bound) v_i u_i^T over the s_i above the bound: one outer product, so one addressing
                cycle of an array, per direction; searched again until none is left or `cycles` are used up
    normalise   (W + U) min(1, bound / s): scales every weight
    soft_cap    odd polynomials of W + U that bring s to the bound and leave small singular values nearly alone

(The soft cap follows Newhouse et al. 2025, arXiv 2507.13338.) Power iteration finds s from below. The last two
multiply it by `SAFETY`, so they keep the bound itself; hammer keeps it up to what the iteration has not seen yet, and
its memory says how many directions it wrote and whether the bound then held. Convolutions are bounded as
(out, in * k * k) matrices, which bounds their operator norm only up to a factor of k.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mep_hw.errors import InputError
from mep_hw.outersum import OuterSum, Update, dense
from mep_hw.rules.base import LocalStates, Memory, Wrapper
from mep_hw.rules.softcap import soft_cap

METHODS = ("hammer", "normalise", "soft_cap")
BLOCK = 4  # directions followed at once: several can pass the bound in one step
SAFETY = 1.05  # s is found from below, by up to 4 % after one warm iteration
GROWTH = 5e-3  # iterate until s grows by less than this share
ITERATIONS = 50


@dataclass(frozen=True)
class Bounded(Wrapper):
    """bound > 0, a spectral norm; cycles >= 1, the most directions that hammer writes in one step.

    Memory, beside the rule's: `u` (in, block); `directions` hammer has written so far; `held`, 1 when it then saw no
    singular value above the bound.

    Raises:
        InputError: bound or cycles out of range, or an unknown method.
    """

    bound: float = 0.9
    method: str = "hammer"
    cycles: int = 16

    def __post_init__(self) -> None:
        if not 0 < self.bound < math.inf:
            raise InputError("spectral bound", "bound", self.bound, rule="must be above 0", fix="0.9 is usual")
        if self.method not in METHODS:
            rule = f"is not one of {', '.join(METHODS)}"
            raise InputError("spectral bound", "method", self.method, rule=rule, fix="choose one of them")
        if self.cycles < 1:
            raise InputError("spectral bound", "cycles", self.cycles, rule="must be at least 1", fix="leave it out")

    @property
    def needs_weights(self) -> bool:  # type: ignore[override]
        return True

    def init(self, shape: tuple[int, ...], generator: torch.Generator, dtype: torch.dtype) -> Memory:
        sides = shape[0], math.prod(shape[1:])
        place = generator.device
        start = torch.randn(sides[1], min(BLOCK, *sides), generator=generator, dtype=torch.float32, device=place)
        counts = {"directions": torch.zeros((), dtype=torch.int64), "held": torch.ones((), dtype=torch.int64)}
        return super().init(shape, generator, dtype) | {"u": torch.linalg.qr(start)[0].to(dtype)} | counts

    def step(
        self,
        contrast: Update,
        memory: Memory,
        *,
        lr: float,
        weights: Tensor | None = None,
        states: LocalStates | None = None,
    ) -> tuple[Update, Memory]:
        assert weights is not None  # needs_weights
        update, new = self.inner(contrast, memory, lr=lr, weights=weights, states=states)
        new |= {key: memory[key] for key in ("directions", "held")}
        if self.method == "hammer":
            return self._hammer(update, memory, new, weights)
        matrix = weights.flatten(1)
        values, _, new["u"] = _directions(matrix, update, memory["u"])
        largest = float(values[0]) * SAFETY
        if largest <= self.bound:
            return update, new
        proposed = matrix + dense(update).flatten(1)
        capped = proposed * (self.bound / largest) if self.method == "normalise" else (
            soft_cap(proposed, largest, self.bound)
        )  # fmt: skip
        return (capped - matrix).view_as(weights), new

    def _hammer(self, update: Update, memory: Memory, new: Memory, weights: Tensor) -> tuple[Update, Memory]:
        matrix, left = weights.flatten(1), self.cycles
        values, v, u = _directions(matrix, update, memory["u"])
        above = int((values > self.bound).sum())
        while above and left:
            count = min(above, left)
            left -= count
            update = _plus(update, v[:, :count] * (self.bound - values[:count]), u[:, :count])
            if count < above:  # no cycles left for the others
                break
            values, v, u = _directions(matrix, update, u)
            above = int((values > self.bound * (1 + GROWTH)).sum())
        new["u"] = u
        new["directions"] = memory["directions"] + (self.cycles - left)
        new["held"] = torch.tensor(int(not above))
        return update, new


def _directions(matrix: Tensor, update: Update, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Largest singular values (k,) of matrix + update, falling, with v (out, k) and u (in, k): (W + U) u = v s."""
    change = update if isinstance(update, OuterSum) else update.flatten(1)
    back = change.transposed() if isinstance(change, OuterSum) else change.T
    largest, values, v = 0.0, u.new_zeros(u.shape[1]), u
    for _ in range(ITERATIONS):
        product = _matmul(matrix, change, u)
        v, values, turn = torch.linalg.svd(product, full_matrices=False)
        u = u @ turn.T
        before, largest = largest, float(values[0])
        if largest <= before * (1 + GROWTH):
            break
        u = torch.linalg.qr(_matmul(matrix.T, back, v))[0]
    return values, v, u


def _matmul(matrix: Tensor, change: Tensor | OuterSum, block: Tensor) -> Tensor:
    return matrix @ block + (change.matmul(block) if isinstance(change, OuterSum) else change @ block)


def _plus(update: Update, left: Tensor, right: Tensor) -> Update:
    """update + left right^T, as factors while that is the smaller object."""
    if isinstance(update, OuterSum) and update.rank + left.shape[1] <= min(update.shape):
        return OuterSum(torch.cat([update.left * update.scale, left], 1), torch.cat([update.right, right], 1))
    whole = dense(update)
    return torch.addmm(whole.flatten(1), left, right.T).view_as(whole)
