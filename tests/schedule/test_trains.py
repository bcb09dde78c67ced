"""Pulse trains: what they realise in the mean, and that coincidences are counted as pulsing slot by slot would."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mep_hw.errors import ScheduleError
from mep_hw.outersum import OuterSum
from mep_hw.schedule import Outer
from mep_hw.schedule.trains import coincidences, outer

STEP = 0.01


def update(columns: int = 4) -> OuterSum:
    generator = torch.Generator().manual_seed(1)
    left, right = (torch.randn(n, columns, generator=generator) for n in (5, 7))
    return OuterSum(left * 0.1, right, scale=-0.3)


def slot_by_slot(cycle: Outer) -> tuple[Tensor, Tensor]:
    """One pulse after the other, as an array would see them."""
    up = torch.zeros(cycle.bits.shape[1], cycle.words.shape[1], dtype=torch.int32)
    down = up.clone()
    for words, bits in zip(cycle.words.tolist(), cycle.bits.tolist(), strict=True):
        for j, b in enumerate(bits):
            for i, w in enumerate(words):
                if b * w > 0:
                    up[j, i] += 1
                elif b * w < 0:
                    down[j, i] += 1
    return up, down


def mean_change(cycle: Outer) -> Tensor:
    up, down = coincidences(cycle)
    return (up - down) * STEP


@pytest.mark.parametrize("seed", [0, None], ids=["stochastic", "deterministic"])
def test_counts_are_those_of_pulsing_slot_by_slot(seed: int | None) -> None:
    cycle = outer(update(), STEP, None if seed is None else torch.Generator().manual_seed(seed))
    for fast, slow in zip(coincidences(cycle), slot_by_slot(cycle), strict=True):
        assert torch.equal(fast, slow) and bool(slow.any())


@pytest.mark.parametrize("signed", ["both", "words", "bits", "none"])
@pytest.mark.parametrize("slots", [255, 256, 1000, 9001])
def test_counts_of_long_trains_stay_exact(slots: int, signed: str) -> None:
    # Lines that fire in nearly every slot: sums of digits that do not fit a float32 number must have been cut.
    generator = torch.Generator().manual_seed(slots)
    words, bits = (torch.randint(-9, 2, (slots, n), generator=generator).sign().to(torch.int8) for n in (7, 5))
    words, bits = (
        side if signed in ("both", name) else side.abs() for side, name in ((words, "words"), (bits, "bits"))
    )
    up, down = coincidences(Outer(words, bits, 1))
    fires = bits.double()[:, :, None] * words.double()[:, None]
    assert torch.equal(up.double(), (fires > 0).double().sum(0))
    assert torch.equal(down.double(), (fires < 0).double().sum(0))


def test_chances_below_the_resolution_of_the_random_numbers_are_kept_and_certain_lines_always_fire() -> None:
    # One line at 1e-5, a third of the resolution: 59 fires in 6 million slots, and not 0 or 179.
    left, right = torch.ones(1, 2000), torch.full((2, 2000), 1e-5)
    right[0] = 1.0
    fires = torch.zeros(2, dtype=torch.int64)
    generator = torch.Generator().manual_seed(4)
    for _ in range(60):
        fires += outer(OuterSum(left, right, scale=49.0), 1.0, generator).words.sum(0)
    slots = 60 * 49 * 2000
    assert int(fires[0]) == slots
    assert int(fires[1]) == pytest.approx(slots * 1e-5, abs=5 * (slots * 1e-5) ** 0.5)


def test_stochastic_trains_realise_the_update_in_the_mean_with_the_correlations_of_shared_lines() -> None:
    generator, wanted, repeats = torch.Generator().manual_seed(2), update(), 3000
    found = torch.stack([mean_change(outer(wanted, STEP, generator)) for _ in range(repeats)]).double()
    error = found.std(0) / repeats**0.5
    assert bool(((found.mean(0) - wanted.dense()).abs() < 5 * error + 1e-9).all())
    # For +-1 trains S = sum of w b over slots: var = n p q (1 - p q); two cells on one word line share w.
    expected = wanted.left.abs().amax(0) * wanted.right.abs().amax(0) * abs(wanted.scale) / STEP
    slots = expected.ceil()
    root = (expected / slots).sqrt()
    p, q = (side.abs() / side.abs().amax(0) * root for side in (wanted.right, wanted.left))
    variance = (slots * q[:, None] * p[None] * (1 - q[:, None] * p[None])).sum(2) * STEP**2
    assert torch.allclose(found.var(0), variance.double(), rtol=0.12)
    assert float(found.var(0).sum() / variance.sum()) == pytest.approx(1, rel=0.02)
    signs = (-wanted.left[0] * wanted.left[1]).sign() * -1
    shared = (signs * slots * q[0] * q[1] * p * (1 - p)).sum(1) * STEP**2
    centred = found - found.mean(0)
    assert torch.allclose((centred[:, 0] * centred[:, 1]).mean(0), shared.double(), atol=float(variance.mean()) * 0.1)


def test_deterministic_trains_are_within_the_rounding_of_their_counts() -> None:
    wanted = update() * 20.0  # many pulses, so that rounding is small
    cycle = outer(wanted, STEP, None)
    again = outer(wanted, STEP, None)
    assert torch.equal(cycle.words, again.words) and torch.equal(cycle.bits, again.bits)
    gap = (mean_change(cycle) - wanted.dense()).abs().max() / wanted.dense().abs().max()
    assert float(gap) < 0.05


def test_nothing_is_pulsed_for_no_update_and_a_small_one_takes_one_slot() -> None:
    nothing = outer(update() * 0.0, STEP, None)
    assert nothing.lengths == () and len(nothing.words) == 0 and not bool(coincidences(nothing)[0].any())
    assert len(outer(update(1) * 1e-4, STEP, torch.Generator()).words) == 1


@pytest.mark.parametrize("factor", [1e9, float("inf")])
def test_more_pulses_than_a_cell_has_states_are_refused(factor: float) -> None:
    with pytest.raises(
        ScheduleError, match="update: pulses = .* must take at most 100000 pulses of one cell; lower lr"
    ):
        outer(update() * factor, STEP, None)
