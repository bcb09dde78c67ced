"""Equivalent factors of an update that take fewer pulses, or fewer slots, to program as outer products.

An update sum_k p_k q_k^T costs sum_k |p_k|_1 |q_k|_1 / step pulses of all cells in the mean, and sum_k max|p_k|
max|q_k| / step slots before each cycle is rounded up to whole ones (trains.py). The factors can be chosen: P Q^T is the
same as (P T^T) (Q T^-1)^T for every invertible T. No choice takes fewer pulses than the entries of P Q^T by themselves;
one cycle for each line of the smaller side takes just those, and r columns that know nothing of each other take
sqrt(2 r / pi) times as many.

Both goals are F = sum_k N(p_k) N(q_k) with N the sum, or the maximum, of absolute values. N is smoothed, less and less:
sum x^2 / sqrt(x^2 + t^2 mean(x^2)) with t -> 0, and (sum |x|^s)^(1/s) with s -> infinity. With weights w such that N =
sum w x^2, its gradient is about w x and its second derivative about w, times a number. From factors that share the
singular values equally, small moves p_k += sum_j V_kj p_j, q_j -= sum_k V_kj q_k follow the relative gradient (Cardoso
and Laheld, IEEE Trans. Signal Process. 44, 3017, 1996) over the diagonal of the second derivative, with momentum:

    slope_kj = N(q_k) <w_pk p_k, p_j> - N(p_j) <w_qj q_j, q_k>,   bend_kj = N(q_k) <w_pk, p_j^2> + N(p_j) <w_qj, q_k^2>
    Y = slope / bend,   V <- 0.7 V - rate (0.6 Y - 0.4 Y^T), kept small,   T <- (1 + V) T,   P = A T^T,   Q = B T^-1

Rotations (Y = -Y^T) take the full rate, shears (Y = Y^T) a fifth: the second order of T^-1 adds V_kj V_jk times about
the bend, which makes shears stiff and rotations soft, as in independent component analysis (Ablin, Cardoso and
Gramfort, IEEE Trans. Signal Process. 66, 4040, 2018).

Not valid for: the global minimum (there are many local ones, within some percent of each other), both goals at once
(flat factors take fewer slots and more pulses, peaked ones the reverse), and cycles of less than a slot, which take a
whole one anyhow.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Goal = Literal["pulses", "slots"]

# Chosen by experiment on factors of Dion and random ones of rank 3 to 128, flat and steep: lowest after these steps.
STEPS = 24
MOMENTUM = 0.7
SHEAR = 0.4  # half of what is taken off shears
LONGEST = 1.5  # sum of a row of V at most: 1 + V stays far from singular, however steep the singular values
SMOOTHING = (1.5, 0.05)  # t at the first and the last step
POWER = (4.0, 40.0)  # s
SUM_RATE, MAXIMUM_RATE = 2.5, 0.75  # w overestimates the second derivative of the sum


@torch.no_grad()
def rotated(left: Tensor, right: Tensor, goal: Goal) -> tuple[Tensor, Tensor]:
    """Factors (out, k) and (in, k), k <= r, of the same product, which take no more pulses, or slots, than those given.

    Each column has the same largest entry on both sides. The product is kept to rounding.

    Args:
        left: (out, r), finite, float32 or float64.
        right: (in, r), alike.
        goal: what to lower.
    """
    left, right = _levelled(left, right)
    if goal == "pulses" and left.shape[1] >= min(len(left), len(right)):
        return _levelled(*_lines(left, right))
    if not left.shape[1]:
        return left, right
    turned = _turned(*_shared(left, right), goal)
    lower = bool(_total(*turned, goal) < _total(left, right, goal))  # not where something overflowed, either
    return _levelled(*turned) if lower else (left, right)


def _levelled(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """The columns that are not zero, scaled to the same largest entry on both sides."""
    peaks = [side.abs().amax(0).sqrt() for side in (left, right)]
    used = (peaks[0] > 0) & (peaks[1] > 0)
    ratio = (peaks[1] / peaks[0])[used]
    return left[:, used] * ratio, right[:, used] / ratio


def _lines(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """One cycle for each line of the smaller side: nothing is pulsed up and down again, so that no choice is better."""
    change = left @ right.T
    unit = torch.eye(min(change.shape), dtype=change.dtype, device=change.device)
    return (unit, change.T) if len(left) <= len(right) else (change, unit)


def _shared(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """U sqrt(S) and V sqrt(S) of the product's singular value decomposition, without what is only rounding."""
    (left_q, left_r), (right_q, right_r) = torch.linalg.qr(left.double()), torch.linalg.qr(right.double())
    u, values, vt = torch.linalg.svd(left_r @ right_r.T, full_matrices=False)
    rounding = max(torch.finfo(left.dtype).eps, max(len(left), len(right)) * torch.finfo(values.dtype).eps)
    real = values > values[0] * rounding
    root = values[real].sqrt()
    return (left_q @ (u[:, real] * root)).to(left.dtype), (right_q @ (vt.T[:, real] * root)).to(left.dtype)


def _turned(left: Tensor, right: Tensor, goal: Goal) -> tuple[Tensor, Tensor]:
    """The descent of the module's docstring. Inside, factors are rows, where sums over their entries are fastest."""
    a, b = left.T.contiguous(), right.T.contiguous()
    turn = torch.eye(len(a), dtype=a.dtype, device=a.device)
    move = torch.zeros_like(turn)
    longest = LONGEST / len(a)
    p, q = a, b
    for step in range(STEPS):
        part = step / (STEPS - 1)
        (p_slope, p_bend, rate), (q_slope, q_bend, _) = (_derivatives(side, goal, part) for side in (p, q))
        p_size, q_size = p_slope.diagonal()[:, None], q_slope.diagonal()[:, None]
        slope = q_size * p_slope - (p_size * q_slope).T
        bend = q_size * p_bend + (p_size * q_bend).T
        wanted = slope.div_(bend)
        move.mul_(MOMENTUM).sub_(wanted, alpha=rate * (1 - SHEAR)).add_(wanted.T, alpha=rate * SHEAR)
        move.clamp_(-longest, longest)
        turn = torch.addmm(turn, move, turn)
        p, q = turn @ a, torch.linalg.inv_ex(turn)[0].T @ b
    return p.T, q.T


def _derivatives(rows: Tensor, goal: Goal, part: float) -> tuple[Tensor, Tensor, float]:
    """<w_k x_k, x_j> and <w_k, x_j^2> for all rows k and j, and the rate of a step, for x smoothed as at this part."""
    squares = rows * rows
    if goal == "pulses":
        blur = _between(SMOOTHING, part) ** 2 / rows.shape[1]
        weights, rate = (squares + squares.sum(1, keepdim=True) * blur).rsqrt_(), SUM_RATE
    else:
        power = _between(POWER, part)
        peaks = squares.amax(1, keepdim=True)  # taken out, or powers would overflow
        shares = squares / peaks
        weights = shares.pow(power / 2 - 1)
        sums = (weights * shares).sum(1, keepdim=True)
        weights, rate = weights / (sums ** (1 - 1 / power) * peaks.sqrt()), MAXIMUM_RATE / (power - 1)
    return (weights * rows) @ rows.T, weights @ squares.T, rate


def _between(ends: tuple[float, float], part: float) -> float:
    return ends[0] * (ends[1] / ends[0]) ** part


def _total(left: Tensor, right: Tensor, goal: Goal) -> Tensor:
    """Pulses or slots, times the step."""
    sizes = [side.abs().sum(0) if goal == "pulses" else side.abs().amax(0) for side in (left, right)]
    return sizes[0] @ sizes[1]
