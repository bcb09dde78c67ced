"""Fits of pulses that our own cells made: the numbers of the card come back within the errors that the fit states."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cell_arrays import at, counts, device
from pulse_files import SIEMENS, write_pulses

from mep_hw.cards import DeviceCard, load_device
from mep_hw.fit import FAMILIES, Fitted, fit_card
from mep_hw.fit.cards import card_text


def number(value: float, unit: str = "1") -> dict[str, object]:
    return {"value": value, "unit": unit, "source": "test"}


def known(family: str) -> DeviceCard:
    """A card of each family, with spread and noise of the size that arrays have."""
    spread = {"dw_min": number(0.2), "law": "normal", "up_down": number(0.05), "w_min": number(0.1),
              "w_max": number(0.15)}  # fmt: skip
    common: dict[str, Any] = {"spread": spread, "w_min": -0.8, "w_max": 1.1, "dw_min": 0.02, "noise__cycle": 0.5,
                              "noise__write": 0.5}  # fmt: skip
    nodes = {"nodes_up": {"values": [1.6, 1.3, 1.0, 0.6, 0.3], "unit": "1", "source": "test"},
             "nodes_down": {"values": [0.3, 0.7, 1.0, 1.2, 1.6], "unit": "1", "source": "test"}}  # fmt: skip
    own: dict[str, dict[str, Any]] = {
        "constant-step": {},
        "linear-step": {"gamma_up": 0.6, "gamma_up_spread": 0.1, "gamma_down": 0.3, "gamma_down_spread": 0.1},
        "soft-bounds": {"reference_mean": 0.0, "reference_spread": 0.0},
        "exp-step": {"a": 1.0, "b": 0.0, "amplitude_up": 0.3, "gamma_up": 1.0, "amplitude_down": -0.4,
                     "gamma_down": -1.2, "noise_floor": 0.0, "noise_slope": 0.0},
        "power-step": {"gamma": 1.5, "gamma_spread": 0.0, "gamma_up_down": 0.3, "gamma_up_down_spread": 0.0},
        "piecewise": nodes,
    }  # fmt: skip
    response = {name: value if isinstance(value, dict) else number(value) for name, value in own[family].items()}
    response |= {"family": family, "up_down": number(0.0 if family == "piecewise" else 0.2)}
    if family == "soft-bounds":
        response["symmetry_point_at_zero"] = False
    if family in ("linear-step", "soft-bounds"):
        response["noise"] = "relative" if family == "linear-step" else "constant"
    return device("reram-sb", response=response, **common)


def fitted(family: str, folder: Path, card: DeviceCard | None = None, cells: int = 24, **options: Any) -> Fitted:
    path = write_pulses(folder / "pulses.csv", card or known(family), cells, 250, 3, **options)
    return fit_card(path, family, "mine", simulated=True)


def value_of(card: DeviceCard, name: str) -> float | None:
    """A number of a card by the name that the report gives it."""
    node: Any = card
    for part in name.split("."):
        node = node.values[int(part)] if part.isdecimal() else getattr(node, part)
    return node if isinstance(node, float) else node.value


@pytest.mark.parametrize("family", FAMILIES)
def test_the_numbers_of_a_known_card_come_back_within_the_stated_errors(family: str, tmp_path: Path) -> None:
    card = known(family)
    fit = fitted(family, tmp_path)
    for row in fit.report["parameters"]:
        name, true = row["name"], value_of(card, row["name"])
        assert true is not None and row["value"] is not None
        if row["error"] is not None:
            # Bounds also carry the width of the range that counts as outer, and noise of readings.
            slack = 0.04 if name in ("w_min", "w_max") else 0.0
            assert abs(row["value"] - true) <= 4 * row["error"] + slack, row
            assert row["error"] < 0.35 * max(abs(true), 0.6), row  # an error that excuses everything would not do
        elif "nodes" in name:
            assert row["value"] == pytest.approx(true, abs=0.12), row
        elif "spread" in name:
            # Standard error of a deviation from 24 cells: 15 %; what remains of estimates' errors counts too.
            assert row["value"] == pytest.approx(true, abs=3.5 * 0.15 * true + 0.03), row
        else:
            unit = fit.report["parameters"][0]["value"] / 0.02 if name == "noise.write" else 1.0  # dw_min, fitted too
            assert row["value"] * unit == pytest.approx(true, rel=0.1), row
        in_card = value_of(fit.card, name)
        assert in_card == pytest.approx(row["value"], rel=1e-5, abs=1e-12)
    if family in ("linear-step", "soft-bounds"):
        assert fit.card.response.noise == card.response.noise  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("family", FAMILIES)
def test_cells_of_the_fitted_card_step_as_the_cells_that_were_measured(family: str, tmp_path: Path) -> None:
    # Different numbers may describe one curve; this is the curve.
    plain = known(family).model_dump()
    plain["spread"] = None
    card = DeviceCard.model_validate(plain)
    fit = fitted(family, tmp_path, card, cells=4)
    largest = 0.0
    for weight in np.linspace(-0.6, 0.85, 6):
        for up in (True, False):
            steps = []
            for made in (at(c, float(weight), 40000, 1) for c in (quiet(card), quiet(fit.card))):
                before = made.stored
                made.pulse(counts((40000,), int(up)), counts((40000,), int(not up)))
                steps.append(float((made.stored - before).mean()))
            largest = max(largest, abs(steps[1] - steps[0]))
    assert largest < 0.1 * 0.02


def quiet(card: DeviceCard) -> DeviceCard:
    return DeviceCard.model_validate(card.model_dump() | {"spread": None, "noise": None})


def test_noise_of_readings_does_not_pass_for_a_slope(tmp_path: Path) -> None:
    # Readings scatter by ten steps. A regression on the reading before sees a slope of var(e) / var(w), here 0.1.
    card = device("gokmen-vlasov", spread=None, dw_min=0.01, noise__cycle=0.3, noise__write=10.0)
    assert card.response.family == "constant-step"
    path = write_pulses(tmp_path / "pulses.csv", card, 10, 300, 6)
    fit = fit_card(path, "linear-step", "mine")
    rows = {row["name"]: row for row in fit.report["parameters"]}
    for name in ("response.gamma_up", "response.gamma_down"):
        assert abs(rows[name]["value"]) < 3.5 * rows[name]["error"] and rows[name]["error"] < 0.5
    assert rows["noise.write"]["value"] == pytest.approx(10 * 0.01 / rows["dw_min"]["value"], rel=0.03)


def test_siemens_give_the_same_card_as_weights(tmp_path: Path) -> None:
    one, two = (fitted("soft-bounds", tmp_path, siemens=siemens) for siemens in (None, SIEMENS))
    assert two.readings.scale is not None and one.readings.scale is None
    low, high = (two.readings.scale.low, two.readings.scale.high)
    per_weight = (SIEMENS[1] - SIEMENS[0]) / (high - low)  # weights of one file per weight of the other
    zero = -1 + 2 * ((SIEMENS[0] + SIEMENS[1]) / 2 - low) / (high - low)
    for name in ("w_min", "w_max"):
        first, second = value_of(one.card, name), value_of(two.card, name)
        assert first is not None and second == pytest.approx(zero + per_weight * first, abs=0.02)
    g = two.card.electrical
    assert g.g_min.value is not None and g.g_max.value is not None
    assert g.g_min.value == pytest.approx(SIEMENS[0] + 12.5e-6 * 0.2, rel=0.1)
    assert g.g_max.value == pytest.approx(SIEMENS[0] + 12.5e-6 * 2.1, rel=0.1)
    assert one.card.electrical.g_min.value is None and one.card.electrical.g_min.source.startswith("unknown: ")
    assert two.report["residuals"][0]["r2"] == pytest.approx(one.report["residuals"][0]["r2"], abs=1e-3)


def test_a_single_cell_says_nothing_of_spread(tmp_path: Path) -> None:
    fit = fitted("linear-step", tmp_path, cells=1)
    assert fit.card.spread is not None
    for name in ("dw_min", "up_down", "w_min", "w_max"):
        quantity = getattr(fit.card.spread, name)
        assert quantity.value is None and quantity.source.startswith("unknown: ")
    assert fit.card.response.gamma_up_spread.value == 0  # pyright: ignore[reportAttributeAccessIssue]


def test_data_without_noise_are_met_exactly(tmp_path: Path) -> None:
    card = device("ecram", spread=None, noise=None, dw_min=0.02, response__gamma_up_spread=0.0,
                  response__gamma_down_spread=0.0)  # fmt: skip
    fit = fit_card(write_pulses(tmp_path / "pulses.csv", card, 2, 90, 2), "linear-step", "mine")
    rows = {row["name"]: row["value"] for row in fit.report["parameters"]}
    assert rows["dw_min"] == pytest.approx(0.02, rel=1e-6) and rows["response.up_down"] == pytest.approx(0, abs=1e-6)
    # gamma counts from the bound that was seen, which differs from the card's by the step that crosses it.
    assert rows["response.gamma_up"] / rows["w_max"] == pytest.approx(0.1153 / 1.1724, rel=1e-6)
    assert rows["response.gamma_down"] / rows["w_min"] == pytest.approx(0.5085 / -0.8276, rel=1e-6)
    assert rows["noise.cycle"] < 1e-6 and rows["noise.write"] < 1e-6
    assert all(row["r2"] > 1 - 1e-9 for row in fit.report["residuals"])


def test_the_written_card_is_the_card_and_says_where_it_comes_from(tmp_path: Path) -> None:
    fit = fitted("soft-bounds", tmp_path)
    path = tmp_path / "card.yaml"
    path.write_bytes(card_text(fit.card))
    again = load_device(path)
    assert again.model_dump() == fit.card.model_dump()
    assert again.agrees_with == "another simulator" and "pulses.csv (SHA-256 " in again.reference
    assert again.w_max.source.startswith("fit to pulses.csv; standard error ")
    assert fit_card(tmp_path / "pulses.csv", "soft-bounds", "mine").card.agrees_with == "measured hardware"


def test_residuals_are_what_the_noise_explains(tmp_path: Path) -> None:
    fit = fitted("soft-bounds", tmp_path)
    rows = {row["name"]: row["value"] for row in fit.report["parameters"]}
    # Constant cycle noise of every cell's step, and two readings.
    step = rows["dw_min"]
    gain = 1 + rows["spread.dw_min"] ** 2
    expected = step * math.sqrt(rows["noise.cycle"] ** 2 * gain * 0.9**2 + 2 * rows["noise.write"] ** 2)
    for row in fit.report["residuals"]:
        assert row["rms_residual"] == pytest.approx(expected, rel=0.1)
        assert 0 < row["r2"] < 1 and row["rms_step"] > row["rms_residual"]


def test_nothing_random_is_in_a_fit(tmp_path: Path) -> None:
    state = torch.random.get_rng_state()
    reports = [fitted("exp-step", tmp_path, cells=3).report for _ in range(2)]
    assert reports[0] == reports[1] and torch.equal(state, torch.random.get_rng_state())
