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

from collections.abc import Iterator

import torch
from torch import Tensor

from mep_hw.errors import ScheduleError
from mep_hw.outersum import OuterSum
from mep_hw.schedule.ir import Outer

MOST = 1e5  # pulses of one cell by one update; more than any cell has states, so that lr must be wrong
TINY = 1e-9  # expected pulses of the largest cell below which an outer product is left out
_BLOCK = 128  # slots drawn at once, which fit the processor's cache
_LEVELS = 2**15  # of a chance: random numbers of 16 bits are cheap, and their differences must keep a sign


def outer(factors: OuterSum, step: float, generator: torch.Generator | None) -> Outer:
    """Trains that realise the sum of these outer products in the mean, one cycle for each.

    Args:
        step: weight change of one pulse.
        generator: of stochastic trains; None makes deterministic ones.

    Raises:
        ScheduleError: the update takes more than MOST pulses.
    """
    left, right = factors.left * factors.scale, factors.right
    peaks = left.abs().amax(0), right.abs().amax(0)
    expected = peaks[0] * peaks[1] / step
    check_pulses(float(expected.sum()))
    used = expected > TINY
    if not bool(used.all()):
        left, right, expected, peaks = left[:, used], right[:, used], expected[used], (peaks[0][used], peaks[1][used])
    slots = expected.ceil().long()
    share = (expected / slots).sqrt()
    bits, words = (side / peak * share for side, peak in zip((left, right), peaks, strict=True))
    if generator is None:
        trains = _at_start(words, slots), _spread(bits, slots)
    else:
        trains = _drawn(words, slots, generator), _drawn(bits, slots, generator)
    return Outer(*trains, lengths=tuple(slots.tolist()))


def check_pulses(count: float) -> None:
    """Raises ScheduleError where an update asks one cell for more pulses, or an array for more slots, than MOST."""
    if not count <= MOST:
        rule, fix = f"must take at most {MOST:g} pulses of one cell", "lower lr, or raise array.scale"
        raise ScheduleError("update", "pulses", f"{count:.3g}", rule=rule, fix=fix)


def coincidences(cycle: Outer) -> tuple[Tensor, Tensor]:
    """Up and down pulses of every cell, (out, in) int32: exact counts, by one product of the trains.

    A train enters the product as 1 where it fires upwards and as M where it fires downwards, so that a sum over slots
    is a number to base M: its digits count the coincidences of both upwards, of one up and one down, and of both
    downwards. No digit reaches M where no line fires M times, and numbers below 2^24 are exact in float32.
    """
    shift = 8 if _falls(cycle.words) and _falls(cycle.bits) else 12  # no third digit where one side only fires upwards
    most = 2**shift - 1
    up = torch.zeros(cycle.bits.shape[1], cycle.words.shape[1], dtype=torch.int32, device=cycle.words.device)
    down = torch.zeros_like(up)
    for words, bits in _parts(cycle.words, cycle.bits, most):
        digits = (_digits(bits, shift).T @ _digits(words, shift)).int()
        up += digits & most
        up += digits >> 2 * shift
        down += (digits >> shift).bitwise_and_(most)
    return up, down


def _parts(words: Tensor, bits: Tensor, most: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Both sides cut into the same slots, so that on one of them no line fires more than `most` times in a part."""
    if len(words) <= most or any(int(side.abs().sum(0, dtype=torch.int32).amax()) <= most for side in (words, bits)):
        yield words, bits
    else:
        half = len(words) // 2
        yield from _parts(words[:half], bits[:half], most)
        yield from _parts(words[half:], bits[half:], most)


def _falls(trains: Tensor) -> bool:
    """Whether a line fires downwards."""
    return bool(trains.numel()) and int(trains.amin()) < 0


def _digits(trains: Tensor, shift: int) -> Tensor:
    """-1, 0, 1 as 2^shift, 0, 1 in float32, by the parabola through these points."""
    fires, base = trains.float(), 2.0**shift
    return fires.mul((base + 1) / 2).sub_((base - 1) / 2).mul_(fires)


def _drawn(chances: Tensor, slots: Tensor, generator: torch.Generator) -> Tensor:
    """Signs of the lines that fire, (all slots, lines) int8, for signed chances (lines, cycles).

    A line fires where a random whole number below 2^15 is less than its chance times 2^15. That is rounded at random,
    once a cycle, so that the mean stays exact.
    """
    chances = chances.T.contiguous()  # cycles by lines from here on, as the trains are
    share = (chances.abs() * _LEVELS).add_(torch.rand(chances.shape, generator=generator, device=chances.device))
    share.clamp_(max=_LEVELS)  # float32 may have rounded it up
    limits, signs = share.int().to(torch.int16), chances.sign().to(torch.int16)  # 2^15 becomes -2^15
    cycle = torch.arange(len(slots), device=slots.device).repeat_interleave(slots)
    trains = torch.empty(len(cycle), chances.shape[1], dtype=torch.int8, device=chances.device)
    for part, some in zip(trains.split(_BLOCK), cycle.split(_BLOCK), strict=True):
        fires = _whole_numbers(part.numel(), generator).view_as(part)
        # The difference wraps to the right one even from -2^15, and its sign fills all bits: a mask without comparison.
        fires.sub_(limits[some]).bitwise_right_shift_(15)
        part.copy_(fires.bitwise_and_(signs[some]))
    return trains


def _whole_numbers(count: int, generator: torch.Generator) -> Tensor:
    """Random numbers from 0 to 2^15 - 1, (count,) int16: four at a time, as one of 64 bits."""
    drawn = torch.empty(-(-count // 4), dtype=torch.int64, device=generator.device)
    return drawn.random_(-(2**63), None, generator=generator).view(torch.int16)[:count].bitwise_and_(_LEVELS - 1)


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
