"""A bound on the spectral norm of a coupling, kept after every step of any rule.

Sweeps contract while the couplings between layers are weak, and training makes them grow. After the rule has proposed
an update U, the strongest directions u_i, v_i of W + U and their singular values s_i are found in a small Krylov space
that starts from the last step's singular vectors and from fresh random ones (Musco and Musco 2015, arXiv 1504.05477):
without the fresh ones a direction that grows beside the old ones would never be seen. Small matrices are decomposed
exactly. Then, by `method`:

    hammer      W + U - sum_i (s_i - bound) v_i u_i^T over the s_i above the bound: one outer product, so one addressing
                cycle of an array, per direction; searched again until none is left or `cycles` are used up
    normalise   (W + U) min(1, bound / s): scales every weight
    soft_cap    odd polynomials of W + U that bring s to the bound and leave small singular values nearly alone

(The soft cap follows Newhouse et al. 2025, arXiv 2507.13338.) The search finds s from below, within a percent or so but
without a guarantee. The last two multiply it by `SAFETY`, so they keep the bound itself; hammer keeps it up to what the
search has missed, and its memory says how many directions it wrote and whether it then saw none above the bound.
Convolutions are bounded as (out, in * k * k) matrices, which bounds their operator norm only up to a factor of k.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mep_hw.errors import InputError
from mep_hw.outersum import OuterSum, Update, dense
from mep_hw.rules.base import LocalStates, Memory, Wrapper
from mep_hw.rules.orthogonal import decompose
from mep_hw.rules.softcap import soft_cap

METHODS = ("hammer", "normalise", "soft_cap")
WARM, FRESH = 4, 4  # directions that the search starts from: remembered ones, and random ones
DEPTH = 4  # blocks of the Krylov space; its size is where an exact decomposition costs no more
EXACT = (WARM + FRESH) * DEPTH
SAFETY = 1.05  # s is found from below
SLACK = 1.005  # hammer is content with singular values this close to the bound


@dataclass(frozen=True)
class Bounded(Wrapper):
    """bound > 0, a spectral norm; cycles >= 1, the most directions that hammer writes in one step.

    Memory, beside the rule's: `u` (in, WARM); `turn`, which seeds the fresh directions; `directions` that hammer has
    written so far; `held`, 1 when hammer then saw no singular value above the bound.

    Raises:
        InputError: bound or cycles out of range, or an unknown method.
    """

    bound: float = 0.9
    method: str = "hammer"
    cycles: int = 64

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
        start = torch.randn(sides[1], min(WARM, *sides), generator=generator, dtype=torch.float32, device=place)
        zero = torch.zeros((), dtype=torch.int64)
        counts = {"turn": zero, "directions": zero.clone(), "held": torch.ones((), dtype=torch.int64)}
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
        new |= {"directions": memory["directions"], "held": memory["held"], "turn": memory["turn"] + self.cycles}
        if self.method == "hammer":
            return self._hammer(update, memory, new, weights)
        matrix = weights.flatten(1)
        values, _, u = _directions(matrix, update, memory["u"], int(memory["turn"]))
        new["u"] = _warm(u, memory["u"])
        largest = float(values[0]) * SAFETY
        if largest <= self.bound:
            return update, new
        proposed = matrix + dense(update).flatten(1)
        capped = proposed * (self.bound / largest) if self.method == "normalise" else (
            soft_cap(proposed, largest, self.bound)
        )  # fmt: skip
        return (capped - matrix).view_as(weights), new

    def _hammer(self, update: Update, memory: Memory, new: Memory, weights: Tensor) -> tuple[Update, Memory]:
        matrix, left, turn = weights.flatten(1), self.cycles, int(memory["turn"])
        u = memory["u"]
        while True:
            values, v, u = _directions(matrix, update, u[:, :WARM], turn)
            above = min(int((values > self.bound * SLACK).sum()), left)
            if not above:
                break
            update = _plus(update, v[:, :above] * (self.bound - values[:above]), u[:, :above])
            left, turn = left - above, turn + 1
        new["u"] = _warm(u, memory["u"])
        new["directions"] = memory["directions"] + (self.cycles - left)
        new["held"] = torch.tensor(int(float(values[0]) <= self.bound * SLACK))
        return update, new


def _directions(matrix: Tensor, update: Update, u: Tensor, turn: int) -> tuple[Tensor, Tensor, Tensor]:
    """Largest singular values (k,) of matrix + update, falling, with v (out, k) and u (in, k): (W + U) u = v s."""
    if min(matrix.shape) <= EXACT:
        v, values, back = decompose(matrix + dense(update).flatten(1))
        return values, v, back.T
    change = update if isinstance(update, OuterSum) else update.flatten(1)
    turned = change.transposed() if isinstance(change, OuterSum) else change.T
    draw = torch.randn(len(u), FRESH, generator=torch.Generator().manual_seed(turn)).to(u)
    block = torch.linalg.qr(torch.cat([u, draw], 1))[0]
    space, images = block, [_matmul(matrix, change, block)]
    for _ in range(DEPTH - 1):
        block = _matmul(matrix.T, turned, images[-1])
        for _ in range(2):  # once leaves rounding of the size of what was taken off
            block = torch.linalg.qr(block - space @ (space.T @ block))[0]
        space = torch.cat([space, block], 1)
        images.append(_matmul(matrix, change, block))
    v, values, back = decompose(torch.cat(images, 1))
    return values, v, space @ back.T


def _warm(found: Tensor, old: Tensor) -> Tensor:
    """The strongest directions found, as many as were remembered."""
    return found[:, : old.shape[1]].contiguous()


def _matmul(matrix: Tensor, change: Tensor | OuterSum, block: Tensor) -> Tensor:
    return matrix @ block + (change.matmul(block) if isinstance(change, OuterSum) else change @ block)


def _plus(update: Update, left: Tensor, right: Tensor) -> Update:
    """update + left right^T, as factors while that is the smaller object."""
    if isinstance(update, OuterSum) and update.rank + left.shape[1] <= min(update.shape):
        return OuterSum(torch.cat([update.left * update.scale, left], 1), torch.cat([update.right, right], 1))
    whole = dense(update)
    return torch.addmm(whole.flatten(1), left, right.T).view_as(whole)
