"""Outer products as trains of coinciding pulses (Gokmen and Vlasov, Front. Neurosci. 10, 333, 2016).

In each of n slots word line i fires with probability p_i and bit line j with q_j; their cell is pulsed p_i q_j n times
in the mean, without anybody computing the product. For a column pair (l, r) of the update, with a cell's step w_s,

    A = max|l| max|r| / w_s,   n = ceil(A),   p = sqrt(A / n) |r| / max|r|,   q = sqrt(A / n) |l| / max|l|

so that both sides are used alike and the expected change is l_j r_i exactly. Deterministic trains fire round(p n) times
instead, word lines at the start and bit lines evenly spread: no noise, but products are rounded, and small ones vanish.

Not valid for: cells whose step depends on the weight (the expected change is that at weight 0), and pulses that
influence each other within a cycle.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mep_hw.errors import ScheduleError
from mep_hw.outersum import OuterSum, Update, dense
from mep_hw.schedule.ir import Outer

MOST = 1e5  # pulses of one cell by one update; more than any cell has states, so that lr must be wrong
TINY = 1e-9  # expected pulses of the largest cell below which an outer product is left out


def outer(update: Update, step: float, generator: torch.Generator | None) -> Outer:
    """Trains that realise `update` (out, in) in the mean.

    Args:
        update: factors as they are, or a dense matrix, which is decomposed into its singular directions.
        step: weight change of one pulse.
        generator: of stochastic trains; None makes deterministic ones.

    Raises:
        ScheduleError: the update takes more than MOST pulses.
    """
    left, right = _factors(update)
    expected = left.abs().amax(0) * right.abs().amax(0) / step
    check_pulses(float(expected.sum()))
    used = expected > TINY
    left, right, expected = left[:, used], right[:, used], expected[used]
    slots = expected.ceil().long()
    share = (expected / slots).sqrt()
    words, bits = (side / side.abs().amax(0) * share for side in (right, left))
    if generator is None:
        trains = _at_start(words, slots), _spread(bits, slots)
    else:
        trains = _drawn(words, slots, generator), _drawn(bits, slots, generator)
    return Outer(*trains, cycles=len(slots))


def check_pulses(count: float) -> None:
    """Raises ScheduleError where an update asks one cell for more pulses, or an array for more slots, than MOST."""
    if not count <= MOST:
        rule, fix = f"must take at most {MOST:g} pulses of one cell", "lower lr, or raise array.scale"
        raise ScheduleError("update", "pulses", f"{count:.3g}", rule=rule, fix=fix)


def coincidences(cycle: Outer) -> tuple[Tensor, Tensor]:
    """Up and down pulses of every cell, (out, in) int32: exact counts, by two products of the trains."""
    words, bits = cycle.words.float(), cycle.bits.float()
    signed, total = bits.T @ words, bits.abs().T @ words.abs()  # whole numbers, exact in float32 up to 2^24 slots
    return total.add(signed).div_(2).int(), total.sub_(signed).div_(2).int()


def _factors(update: Update) -> tuple[Tensor, Tensor]:
    if isinstance(update, OuterSum):
        return update.left * update.scale, update.right
    left, values, right = torch.linalg.svd(dense(update).flatten(1), full_matrices=False)
    real = values > values[0] * (max(left.shape[0], right.shape[1]) * torch.finfo(values.dtype).eps)  # not rounding
    root = values[real].sqrt()  # both sides alike
    return left[:, real] * root, right.T[:, real] * root


def _drawn(chances: Tensor, slots: Tensor, generator: torch.Generator) -> Tensor:
    """Signs of the lines that fire, (all slots, lines) int8, for signed chances (lines, cycles)."""
    each = chances.T.repeat_interleave(slots, 0)
    fires = torch.rand(each.shape, generator=generator, device=each.device) < each.abs()
    return (each.sign() * fires).to(torch.int8)


def _at_start(chances: Tensor, slots: Tensor) -> Tensor:
    """Every line fires round(chance * slots) times, in the first slots of its cycle."""
    each, length, place = _laid_out(chances, slots)
    return (each.sign() * (place < (each.abs() * length).round())).to(torch.int8)


def _spread(chances: Tensor, slots: Tensor) -> Tensor:
    """The same number of times, as evenly over the cycle as whole slots allow."""
    each, length, place = _laid_out(chances, slots)
    count = (each.abs() * length).round()
    # The running share passes a whole number in the slots that fire; half a step off so that few do not come first.
    fires = ((place + 1) * count / length + 0.5).floor() > (place * count / length + 0.5).floor()
    return (each.sign() * fires).to(torch.int8)


def _laid_out(chances: Tensor, slots: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Chances per slot, and the length of each slot's cycle and its place in it, (all slots, 1)."""
    each = chances.T.repeat_interleave(slots, 0)
    length = slots.repeat_interleave(slots)
    place = torch.arange(len(each), device=each.device) - (slots.cumsum(0) - slots).repeat_interleave(slots)
    return each, length[:, None].to(each), place[:, None].to(each)
