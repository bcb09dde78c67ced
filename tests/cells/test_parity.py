"""Parity with a simulator and with equations, held in `devices/*/golden.json`. None of this is hardware.

Pulses: one pulse of the presets against aihwkit 1.2.0 (128 x 128 devices). Two things about that reference:

- It sets soft-bounds cells within their bounds before the cell's reference weight is subtracted, so that some start
  outside of what they can hold; the test puts them there by restoring a snapshot.
- It sent the pulses of the exponential device with row and column bits of probability 1 / sqrt(1.4751), by the device's
  weight granularity (down step at weight 0 in dw_min), so that only a share of the cells was pulsed.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from cell_arrays import at, cells, counts

from mep_hw.cards import load_device, root

PULSED = ["reram-es", "reram-sb", "capacitor", "ecram", "ecram-mo", "gokmen-vlasov", "reram-om", "reram-hfo2"]
COUNT = 131072


def golden(name: str) -> dict[str, Any]:
    return json.loads((root("devices") / name / "golden.json").read_text(encoding="utf-8"))["statistics"]


def holds(name: str, statistic: str, value: float) -> bool:
    held = golden(name)[statistic]
    return abs(value - held["value"]) <= held["tolerance"]


def one_pulse(name: str, weight: float, up: bool, seed: int) -> tuple[float, float]:
    """Mean and standard deviation of the change of the stored weight, in dw_min."""
    card = load_device(name)
    made = at(card, weight, COUNT, seed)
    state = made.snapshot()
    if "extra.reference" in state:
        shift = state["extra.reference"]
        start = torch.full((COUNT,), weight, dtype=torch.float64)
        state["stored"] = start.clamp(state["low"] + shift, state["high"] + shift)
        made.restore(state)
    before = made.stored
    one, none = counts((COUNT,), 1), counts((COUNT,), 0)
    made.pulse(*((one, none) if up else (none, one)))
    assert card.dw_min.value is not None
    change = (made.stored - before) / card.dw_min.value
    return float(change.mean()), float(change.std())


@pytest.mark.parametrize("name", PULSED)
def test_one_pulse_has_the_mean_and_spread_of_the_simulator(name: str) -> None:
    share = golden(name).get("share_of_cells_pulsed", {"value": 1.0})["value"]
    for seed, weight in enumerate(("-0.4", "0", "0.4")):
        for way in ("up", "down"):
            mean, sd = one_pulse(name, float(weight), way == "up", seed)
            reached = share * mean, math.sqrt(share * (sd**2 + mean**2) - (share * mean) ** 2)
            assert holds(name, f"{way}_mean_at_{weight}", reached[0]), (way, weight, reached)
            assert holds(name, f"{way}_sd_at_{weight}", reached[1]), (way, weight, reached)


def test_the_share_of_pulsed_cells_explains_mean_and_spread_alike() -> None:
    # Each column of the reference has its own share; its second moment tells which, and the mean must then agree.
    card, held, shares = load_device("reram-es"), golden("reram-es"), []
    response = card.response
    assert response.family == "exp-step"
    granularity = (1 - response.up_down.value) * (
        1 - response.amplitude_down.value * math.exp(-response.gamma_down.value * response.b.value)
    )
    expected = held["share_of_cells_pulsed"]
    assert expected["value"] == pytest.approx(1 / granularity, abs=1e-4)
    for seed, weight in enumerate(("-0.4", "0", "0.4")):
        for way in ("up", "down"):
            mean, sd = one_pulse("reram-es", float(weight), way == "up", seed)
            their_mean, their_sd = (held[f"{way}_{kind}_at_{weight}"]["value"] for kind in ("mean", "sd"))
            shares.append((their_sd**2 + their_mean**2) / (sd**2 + mean**2))
            assert abs(shares[-1] - expected["value"]) < expected["tolerance"]
            error = math.hypot(their_sd / math.sqrt(16384), shares[-1] * sd / math.sqrt(COUNT), 0.005 / math.sqrt(3))
            assert abs(their_mean - shares[-1] * mean) < 3 * error, (way, weight)
    assert abs(np.mean(shares) - expected["value"]) < expected["tolerance"] / math.sqrt(6)


def phase_change(share: float, seconds: float, count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Stored and read conductance in uS of cells programmed to a share of full scale, after `seconds`."""
    made = cells(load_device("pcm"), count, seed)
    made.program(torch.full((count,), 2 * share, dtype=torch.float64))
    made.wait(seconds)
    return made.stored * 12.5, made.read() * 12.5


def expected_moments(share: float, seconds: float) -> tuple[float, float, float]:
    """Mean and sd of the drifted conductance (uS) and sd of a read, by quadrature over the two normal deviates.

    Written from the equations: sd_prog = 0.26348 + 1.9650 r - 1.1731 r^2, nu = |mean + sd xi|, G (1 + s/20)^-nu, and a
    read with relative noise min(0.0088 / r^0.65, 0.2) sqrt(ln((s + 20 + 250e-9) / 500e-9)).
    """
    node, weight = np.polynomial.hermite_e.hermegauss(201)
    weight = weight / weight.sum()
    programmed = np.maximum(25 * share + (0.26348 + 1.9650 * share - 1.1731 * share**2) * node, 0)
    log = math.log(share)
    center, width = np.clip(-0.0155 * log + 0.0244, 0.049, 0.1), np.clip(-0.0125 * log - 0.0059, 0.008, 0.045)
    nu = np.abs(center + width * node)
    drifted = programmed[:, None] * (1 + seconds / 20) ** -nu
    joint = weight[:, None] * weight
    mean = (joint * drifted).sum()
    variance = (joint * drifted**2).sum() - mean**2
    relative = np.minimum(0.0088 / np.maximum((programmed / 25) ** 0.65, 1e-3), 0.2) ** 2 * np.log(
        (seconds + 20 + 250e-9) / 500e-9
    )
    noise = (joint * drifted**2 * relative[:, None]).sum()
    return float(mean), math.sqrt(variance), math.sqrt(variance + noise)


@pytest.mark.parametrize("seconds", [1.0, 3600.0, 86400.0])
@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.75, 1.0])
def test_phase_change_cells_drift_by_the_published_equations(share: float, seconds: float) -> None:
    mean, sd, read_sd = expected_moments(share, seconds)
    stored, read = phase_change(share, seconds, COUNT, 5)
    for sample, deviation in ((stored, sd), (read, read_sd)):
        assert abs(float(sample.mean()) - mean) < 4 * deviation / math.sqrt(COUNT)
        assert float(sample.std()) == pytest.approx(deviation, rel=0.02)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.75, 1.0])
def test_phase_change_cells_have_the_moments_of_the_simulator(share: float) -> None:
    programmed, _ = phase_change(share, 0.0, COUNT, 1)
    assert holds("pcm", f"programmed_sd_at_{share}", float(programmed.std()))
    _, read = phase_change(share, 86400.0, COUNT, 2)
    assert holds("pcm", f"read_mean_after_1_day_at_{share}", float(read.mean()))
    assert holds("pcm", f"read_sd_after_1_day_at_{share}", float(read.std()))


@pytest.mark.parametrize("current", [100, 400, 800, 1600])
def test_charge_trap_cells_are_programmed_by_the_published_equation(current: int) -> None:
    made = cells(load_device("flash-sonos"), COUNT)
    made.program(torch.full((COUNT,), current / 1600, dtype=torch.float64))
    assert holds("flash-sonos", f"programmed_sd_at_{current}", float(made.stored.std()) * 1600)


def test_the_ferroelectric_cell_crosses_its_range_in_31_equal_steps() -> None:
    made = at(load_device("fefet"), -1.0, 8)
    one, none, steps = counts((8,), 1), counts((8,), 0), []
    while float(made.stored.min()) < 1 - 1e-4:
        before = made.stored
        made.pulse(one, none)
        steps.append((made.stored - before) / 0.064516)
    assert holds("fefet", "pulses_over_the_range", len(steps))
    assert holds("fefet", "step_sd", float(torch.stack(steps).std()))


def test_the_ideal_cell_realises_what_is_intended() -> None:
    target = torch.linspace(-3, 3, 64, dtype=torch.float64)
    made = cells(load_device("ideal"), 64)
    made.program(target)
    made.wait(86400.0)
    ratio = made.read() / target
    assert holds("ideal", "realised_over_intended_mean", float(ratio.mean()))
    assert holds("ideal", "realised_over_intended_std", float(ratio.std()))
    assert holds("ideal", "cell_to_cell_std", float((made.read() - target).std()))
    assert holds("ideal", "up_minus_down", float((made.read() + made.read().flip(0)).mean()))
