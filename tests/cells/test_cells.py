"""Arrays of cells: spread and stuck cells as drawn, write noise, time, wear, what is refused, and exact resumption."""

from __future__ import annotations

import math

import pytest
import torch
from cell_arrays import at, cells, counts, device

from mep_hw.cards import device_names, load_device
from mep_hw.cells import Cells
from mep_hw.errors import CapabilityError, CheckpointError, ScheduleError

COUNT = 40000
ONE, NONE = counts((COUNT,), 1), counts((COUNT,), 0)


def test_bounds_and_steps_spread_as_the_card_says() -> None:
    made = cells(load_device("gokmen-vlasov"), COUNT)
    low, high = made.bounds
    for sample in (high, -low, made.traits.up / 0.0016, made.traits.down / 0.0016):
        assert float(sample.mean()) == pytest.approx(1, abs=4 * 0.3 / math.sqrt(COUNT))
        assert float(sample.std()) == pytest.approx(0.3, rel=0.02)
    # One gain for both directions, the opposite deviation in each.
    assert float(((made.traits.up - made.traits.down) / 0.0016).std()) == pytest.approx(0.02, rel=0.02)
    assert float(torch.corrcoef(torch.stack([high, low]))[0, 1]) == pytest.approx(0, abs=4 / math.sqrt(COUNT))


def test_a_lognormal_step_has_the_given_spread_of_its_logarithm() -> None:
    gain = (cells(load_device("reram-om"), COUNT).traits.up / 0.0949).log()
    assert float(gain.mean()) == pytest.approx(0, abs=4 * 0.7829 / math.sqrt(COUNT))
    assert float(gain.std()) == pytest.approx(0.7829, rel=0.02)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_asymmetry_makes_the_steps_of_one_direction_smaller(sign: float) -> None:
    made = cells(device("gokmen-vlasov", spread=None, response__up_down=sign * 0.25), 1)
    smaller, other = (made.traits.down, made.traits.up) if sign > 0 else (made.traits.up, made.traits.down)
    assert float(smaller) == pytest.approx(0.75 * 0.0016) and float(other) == pytest.approx(0.0016)


def test_the_symmetry_point_is_at_zero_on_average_over_pulse_pairs() -> None:
    card = device("reram-om", noise=None, response__reference_spread=0.0, spread__up_down=0.3, spread__dw_min=0.1)
    made = cells(card, 2000)
    up, _ = made.response.step(made.stored * 0, True, slice(None))  # pyright: ignore[reportAttributeAccessIssue]
    down, _ = made.response.step(made.stored * 0, False, slice(None))  # pyright: ignore[reportAttributeAccessIssue]
    assert float((up + down).abs().max()) < 1e-9 < float(up.std())


def test_stuck_cells_stay_where_they_are() -> None:
    card = device("gokmen-vlasov", stuck__share=0.1, stuck__reach=0.01)
    made = at(card, 0.3, COUNT)
    assert float(made.stuck.double().mean()) == pytest.approx(0.1, abs=4 * 0.3 / math.sqrt(COUNT))
    before = made.weights
    assert float(before[made.stuck].abs().max()) <= 0.01
    assert float((before[~made.stuck] == 0.3).double().mean()) > 0.9  # the others are as wide as ever
    made.pulse(7 * ONE, 2 * ONE)
    made.pulse_one_by_one(2 * ONE, ONE)
    assert torch.equal(made.weights[made.stuck], before[made.stuck])
    assert bool((made.weights != before)[~made.stuck].all())
    assert bool((made.up_count == 9).all()), "a stuck cell gets its pulses all the same"


def test_write_noise_shows_in_what_is_read_and_not_in_what_is_stored() -> None:
    made = at(device("reram-es", spread=None, noise__cycle=0.0), 0.0, COUNT)
    deviation = 75 * 0.00135
    assert float((made.weights - made.stored).std()) == pytest.approx(deviation, rel=0.02)
    noise = made.weights - made.stored
    some = ONE.clone()
    some[: COUNT // 2] = 0
    made.pulse(some, NONE)
    again = made.weights - made.stored
    assert torch.equal(again[: COUNT // 2], noise[: COUNT // 2]), "cells without a pulse keep theirs"
    fresh = torch.stack([again[COUNT // 2 :], noise[COUNT // 2 :]])
    assert float(torch.corrcoef(fresh)[0, 1]) == pytest.approx(0, abs=4 / math.sqrt(COUNT / 2))
    assert float(made.stored[COUNT // 2 :].std()) < 1e-9


def test_a_capacitor_leaks_with_every_update() -> None:
    card = device("capacitor", spread=None, retention__lifetime=50.0, retention__lifetime_spread=0.0)
    made = at(card, 0.8, 4)
    made.tick(20)
    assert made.stored.tolist() == pytest.approx([0.8 * (1 - 1 / 50) ** 20] * 4)
    made.tick()
    assert made.stored.tolist() == pytest.approx([0.8 * (1 - 1 / 50) ** 21] * 4)
    other = at(load_device("ecram"), 0.5, 4)
    before = other.stored
    other.tick(1000)
    assert torch.equal(other.stored, before)


def log_time() -> dict[str, object]:
    """The relaxation of the CMO cells in aihwkit: mean -0.089 ln t uS, sd 0.042 ln t uS, on 25 uS."""

    def known(value: float, unit: str) -> dict[str, object]:
        return {"value": value, "unit": unit, "source": "aihwkit 1.2.0"}

    rate = {"rate": known(-0.089, "uS"), "rate_spread": known(0.042, "uS")}
    return {"law": "log-time", **rate, "t0": known(1.0, "s"), "full_scale": known(25.0, "uS")}


@pytest.mark.parametrize("seconds", [9.0, 3599.0])
def test_relaxation_is_linear_in_the_logarithm_of_time(seconds: float) -> None:
    made = at(device("reram-om", spread=None, retention=log_time()), 0.5, COUNT)
    before = made.stored
    made.wait(seconds)
    change = (made.stored - before) * 12.5  # weights -1 to 1 are 25 uS
    logarithm = math.log(1 + seconds)
    assert float(change.mean()) == pytest.approx(-0.089 * logarithm, abs=4 * 0.042 * logarithm / math.sqrt(COUNT))
    assert float(change.std()) == pytest.approx(0.042 * logarithm, rel=0.02)


@pytest.mark.parametrize("name", ["pcm", "reram-om"])
def test_waiting_twice_is_waiting_once_and_a_pulse_starts_the_clock_anew(name: str) -> None:
    card = device(name, retention=log_time()) if name == "reram-om" else load_device(name)
    twice, once = (at(card, 0.5, 100) for _ in range(2))
    twice.wait(100.0)
    twice.wait(900.0)
    once.wait(1000.0)
    assert torch.allclose(twice.stored, once.stored, rtol=1e-9)
    # A second of an old cell does little, of a freshly written one more.
    first = counts((100,), 0)
    first[:50] = 1
    once.pulse(counts((100,), 0), first)
    before = once.stored
    once.wait(20.0)
    moved = (once.stored - before).abs()
    assert float(moved[:50].median()) > 5 * float(moved[50:].median()) > 0


def test_a_cell_above_its_pulse_bound_stays_until_a_pulse_comes() -> None:
    made = cells(load_device("pcm"), 2000)
    made.program(torch.full((2000,), 2.0, dtype=torch.float64))
    above = made.stored > made.bounds[1]
    assert 0.2 < float(above.double().mean()) < 0.8
    first = counts((2000,), 0)
    first[:1000] = 1
    before = made.stored
    made.pulse(first, counts((2000,), 0))
    assert torch.equal(made.stored[1000:], before[1000:])
    assert bool((made.stored[:1000] <= made.bounds[1][:1000]).all())


def test_a_cell_that_drifted_beyond_its_bounds_stays_until_a_pulse_comes_also_after_a_restart() -> None:
    rising = {
        "law": "log-time", "rate": quantity(0.05), "rate_spread": quantity(0.1), "t0": quantity(1.0),
        "full_scale": quantity(1.0),
    }  # fmt: skip
    card = device("gokmen-vlasov", retention=rising)
    made, again = at(card, 0.9, 500), cells(card, 500, seed=1)
    made.wait(1e6)
    assert 0.2 < float((made.stored > made.bounds[1]).double().mean())
    again.restore(made.snapshot())
    before, first = made.stored, counts((500,), 0)
    first[:250] = 1
    for one in (made, again):
        one.pulse(first, counts((500,), 0))
        assert torch.equal(one.stored[250:], before[250:])
        assert bool((one.stored[:250] <= one.bounds[1][:250]).all())
    assert torch.equal(made.stored, again.stored)


def test_every_pulse_is_counted_also_beyond_what_32_bits_hold() -> None:
    made = at(load_device("fefet"), 0.0, 6)
    up, down = torch.arange(6, dtype=torch.int32), 2 * torch.arange(6)
    made.pulse(up, down)
    made.pulse_one_by_one(up, down)
    assert made.up_count.tolist() == [2 * n for n in range(6)] and made.pulses.tolist() == [6 * n for n in range(6)]
    held = made.snapshot()
    made.restore(held | {"up": held["up"] + 2**40})
    made.pulse(up, down)
    assert made.pulses.tolist() == [2**40 + 9 * n for n in range(6)]


@pytest.mark.parametrize("name", [n for n in device_names() if n not in ("ideal", "flash-sonos")])
def test_resumed_cells_go_on_bit_for_bit(name: str) -> None:
    card = device(name, stuck={"share": quantity(0.2), "reach": quantity(None)})
    first = Cells(card, (6, 50), torch.Generator().manual_seed(1))

    def live(made: Cells, steps: int) -> None:
        for _ in range(steps):
            draw = torch.randint(0, 9, (2, 6, 50), generator=made.generator)
            made.pulse(draw[0], draw[1])
            made.tick()
            made.read()
            if name == "pcm":
                made.wait(10.0)
                made.program(made.weights.clamp(0, 2))
                made.wait(1.0)

    live(first, 3)
    saved = first.snapshot()
    second = Cells(card, (6, 50), torch.Generator().manual_seed(2))
    second.restore({key: value.clone() for key, value in saved.items()})
    live(first, 3)
    live(second, 3)
    ends = first.snapshot(), second.snapshot()
    assert ends[0].keys() == ends[1].keys()
    for key, value in ends[0].items():
        assert torch.equal(value, ends[1][key]), key
    assert not torch.equal(saved["stored"], ends[0]["stored"])


def quantity(value: float | None) -> dict[str, object]:
    return {"value": value, "unit": "1", "source": "test"}


def test_a_snapshot_of_other_cells_is_refused_and_changes_nothing() -> None:
    made = at(load_device("ecram"), 0.3, 4)
    before = made.stored
    card = load_device("ecram")
    for other in (cells(card, 5), cells(load_device("reram-sb"), 4), cells(card, 4, dtype=torch.float32)):
        with pytest.raises(CheckpointError, match="cells: is not a snapshot of 4 cells of device ecram; restore"):
            made.restore(other.snapshot())
    assert torch.equal(made.stored, before)


def test_what_cells_cannot_do_is_refused_before_anything_changes() -> None:
    made = at(load_device("ecram"), 0.3, 4)
    good, before = counts((4,), 1), made.snapshot()
    for bad, message in (
        (counts((5,), 1), r"cells: down = \(5,\): must have the cells' shape \(4,\); give one entry per cell"),
        (good.double(), "cells: down = torch.float64: must hold whole numbers; give an integer"),
        (good > 0, "cells: down = torch.bool: must hold whole numbers"),
        (good - 3, "cells: down = -2: must not be negative; count pulses of the other"),
    ):
        for way in (made.pulse, made.pulse_one_by_one):
            with pytest.raises(ScheduleError, match=message):
                way(good, bad)
    for seconds in (-1.0, math.nan, math.inf):
        with pytest.raises(ScheduleError, match="cells: seconds = .*: must be a time, 0 or above; give"):
            at(load_device("pcm"), 0.3, 4).wait(seconds)
    with pytest.raises(CapabilityError, match="device ecram: retention.law = unknown: does not say what a time"):
        made.wait(1.0)
    with pytest.raises(CapabilityError, match="device capacitor: retention.law = leak: does not say"):
        at(load_device("capacitor"), 0.3, 4).wait(1.0)
    with pytest.raises(CapabilityError, match="device ecram: programming = unknown: no source for the error"):
        made.program(torch.zeros(4))
    with pytest.raises(ScheduleError, match=r"cells: weights = \(3,\): must have the cells' shape"):
        made.set(torch.zeros(3))
    for name in ("ideal", "flash-sonos"):
        with pytest.raises(CapabilityError, match=f"device {name}: response.family = .*: these cells take no pulses"):
            at(load_device(name), 0.3, 4).pulse(good, good)
    for key, value in made.snapshot().items():
        assert torch.equal(value, before[key]), key


def test_small_integer_types_do_not_overflow() -> None:
    made = at(device("gokmen-vlasov", spread=None, noise=None), 0.0, 2)
    made.pulse(torch.tensor([200, 100], dtype=torch.uint8), torch.tensor([100, 200], dtype=torch.uint8))
    assert made.stored.tolist() == pytest.approx([0.16, -0.16])
    assert (made.up_count + made.down_count).tolist() == [300, 300]
