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

from mep_hw.outersum import OuterSum, Update, dense
from mep_hw.ranges import COUNT, POSITIVE, require, require_one_of
from mep_hw.rules.base import Asked, Memory, Wrapper
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
        require("spectral bound", "bound", self.bound, POSITIVE, "0.9 is usual")
        require_one_of("spectral bound", "method", self.method, METHODS, "choose one of them")
        require("spectral bound", "cycles", self.cycles, COUNT, "leave it out")

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

    def after(self, asked: Asked, update: Update, new: Memory) -> tuple[Update, Memory]:
        weights, memory = asked.weights, asked.memory
        assert weights is not None  # needs_weights
        new |= {"directions": memory["directions"], "held": memory["held"], "turn": memory["turn"] + self.cycles}
        if self.method == "hammer":
            return self._hammer(update, memory, new, weights)
        matrix = weights.flatten(1)
        proposed = matrix + dense(update).flatten(1)
        values, _, u = _directions(proposed, memory["u"], int(memory["turn"]))
        new["u"] = _warm(u, memory["u"])
        largest = float(values[0]) * SAFETY
        if largest <= self.bound:
            return update, new
        capped = proposed * (self.bound / largest) if self.method == "normalise" else (
            soft_cap(proposed, largest, self.bound)
        )  # fmt: skip
        return (capped - matrix).view_as(weights), new

    def _hammer(self, update: Update, memory: Memory, new: Memory, weights: Tensor) -> tuple[Update, Memory]:
        u, left, turn = memory["u"], self.cycles, int(memory["turn"])
        proposed = weights.flatten(1) + dense(update).flatten(1)
        while True:
            values, v, u = _directions(proposed, u[:, :WARM], turn)
            above = min(int((values > self.bound * SLACK).sum()), left)
            if not above:
                break
            excess, back = v[:, :above] * (self.bound - values[:above]), u[:, :above]
            proposed.addmm_(excess, back.T)
            update = _plus(update, excess, back)
            left, turn = left - above, turn + 1
        new["u"] = _warm(u, memory["u"])
        new["directions"] = memory["directions"] + (self.cycles - left)
        new["held"] = torch.tensor(int(float(values[0]) <= self.bound * SLACK))
        return update if isinstance(update, OuterSum) else update.view_as(weights), new


def _directions(matrix: Tensor, u: Tensor, turn: int) -> tuple[Tensor, Tensor, Tensor]:
    """Largest singular values (k,) of a matrix, falling, with v (out, k) and u (in, k): matrix u = v s."""
    if min(matrix.shape) <= EXACT:
        v, values, back = decompose(matrix)
        return values, v, back.T
    draw = torch.randn(len(u), FRESH, generator=torch.Generator().manual_seed(turn)).to(u)
    block = torch.linalg.qr(torch.cat([u, draw], 1))[0]
    space, images = block, [matrix @ block]
    for _ in range(DEPTH - 1):
        block = (images[-1].T @ matrix).T  # matrix.T @ images[-1] is up to 18 times slower with so few columns
        for _ in range(2):  # once leaves rounding of the size of what was taken off
            block = torch.linalg.qr(block - space @ (space.T @ block))[0]
        space = torch.cat([space, block], 1)
        images.append(matrix @ block)
    v, values, back = decompose(torch.cat(images, 1))
    return values, v, space @ back.T


def _warm(found: Tensor, old: Tensor) -> Tensor:
    """The strongest directions found, as many as were remembered."""
    return found[:, : old.shape[1]].contiguous()


def _plus(update: Update, left: Tensor, right: Tensor) -> Update:
    """update + left right^T, as factors while that is the smaller object."""
    if isinstance(update, OuterSum) and update.rank + left.shape[1] <= min(update.shape):
        return OuterSum(torch.cat([update.left * update.scale, left], 1), torch.cat([update.right, right], 1))
    whole = dense(update)
    return torch.addmm(whole.flatten(1), left, right.T).view_as(whole)
