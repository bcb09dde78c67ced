"""From what was found to a device card, and to its text.

Every number says "fit to FILE" with the file's SHA-256 and its standard error; what the data cannot show is null and
"unknown". The label is `measured hardware`, as the file holds measurements, unless the caller says that a simulator
made them: this module cannot know. How far cells agree with the data is in the residuals of the fit.

Not valid for: spread that is not normal; `law` is always normal.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from mep_hw.cards import DeviceCard
from mep_hw.cards.explain import card_error
from mep_hw.fit.estimate import Estimate
from mep_hw.fit.found import Found
from mep_hw.fit.noise import Noise
from mep_hw.fit.readings import Readings

_UNITS = {"reference": "weight", "noise_floor": "weight", "w_min": "weight", "w_max": "weight", "dw_min": "weight"}
_DEFINED = {"a", "b", "reference", "noise_floor", "noise_slope", "gamma_spread", "gamma_up_down_spread"}
_UNKNOWN = "unknown: pulse data do not show it"
_ONE_CELL = "unknown: a single cell was measured"


@dataclass(frozen=True)
class Origin:
    """Where a card comes from: a file, or a folder of tables, whose cells and usable pulses are not known (None)."""

    path: Path
    family: str
    cells: int | None
    pulses: int | None
    simulated: bool

    @property
    def label(self) -> str:
        return "another simulator" if self.simulated else "measured hardware"

    @property
    def text(self) -> str:
        return f"fit to {self.path.name}"

    @property
    def reference(self) -> str:
        if self.path.is_dir():
            return f"jump tables of the folder {self.path.name}, by mep-hw devices fit"
        digest = hashlib.sha256(self.path.read_bytes()).hexdigest()
        return f"{self.path.name} (SHA-256 {digest}): {self.family} by mep-hw devices fit"


def card_of(name: str, origin: Origin, readings: Readings, found: Found, noise: Noise) -> DeviceCard:
    """The card of one of the fitted families.

    Raises:
        CardError: the name is not one that a card can have.
    """
    text = origin.text
    data = base_card(name, origin, f"{origin.family} fitted to {origin.cells} cells of {readings.source}")
    response: dict[str, Any] = {"family": origin.family, "up_down": _known(found.up_down, "1", text)}
    for field, value in found.response.items():
        if isinstance(value, bool):
            response[field] = value
        elif isinstance(value, tuple):
            response[field] = {"values": [_round(number) for number in value], "unit": "dw_min", "source": text}
        else:
            response |= _of_field(field, value, origin)
    if origin.family in ("linear-step", "soft-bounds"):
        response["noise"] = noise.form
    data["response"] = response
    for field in ("w_min", "w_max", "dw_min"):
        data[field] = _known(getattr(found, field), "weight", text)
    data["spread"] = {
        field: _spread(estimate, text)
        for field, estimate in (
            ("dw_min", found.dw_min), ("up_down", found.up_down), ("w_min", found.w_min), ("w_max", found.w_max),
        )
    } | {"law": "normal"}  # fmt: skip
    write = _round(noise.readings / found.dw_min.value)
    data["noise"] = {
        "cycle": _plain(noise.cycle, "1", text),
        "write": _plain(write, "dw_min", f"{text}; noise of reading included, which one reading per pulse cannot tell"),
        "read": {"law": "unknown", "source": "what there is of it is part of noise.write"},
    }
    if readings.scale is not None:
        for field, bound in (("g_min", found.w_min), ("g_max", found.w_max)):
            siemens = float(readings.scale.conductance(bound.value))
            if siemens >= 0:
                data["electrical"][field] = _plain(siemens, "S", f"{text}; conductance of {field.replace('g', 'w')}")
    return validated(name, data)


def base_card(name: str, origin: Origin, summary: str) -> dict[str, Any]:
    """The keys of a card in order, with everything that pulses do not show already unknown."""
    unknown = {"value": None, "source": _UNKNOWN}
    law = {"law": "unknown", "source": "pulse data do not show it"}
    electrical = {"pulse_width": "s", "voltage_up": "V", "voltage_down": "V", "g_min": "S", "g_max": "S"}
    units = electrical | {"endurance": "pulse"}
    return {
        "schema": 1, "name": name, "summary": summary, "agrees_with": origin.label, "response": None,
        "w_min": None, "w_max": None, "dw_min": None, "spread": None,
        "stuck": {"share": unknown | {"unit": "1"}, "reach": unknown | {"unit": "weight"}},
        "noise": None, "programming": law, "retention": law,
        "electrical": {field: unknown | {"unit": unit} for field, unit in units.items()},
        "reference": origin.reference,
    }  # fmt: skip


def validated(name: str, data: dict[str, Any]) -> DeviceCard:
    try:
        return DeviceCard.model_validate(data)
    except ValidationError as error:
        raise card_error(f"card {name}", DeviceCard, error) from error


def card_text(card: DeviceCard) -> bytes:
    """The card as the YAML that `load_device` reads."""
    data = card.model_dump(mode="json", by_alias=True)
    data["response"] = {"family": card.family} | data["response"]  # first, as people read it
    return yaml.safe_dump(data, sort_keys=False, width=1000, allow_unicode=True, default_flow_style=None).encode()


def quantities(found: Found, noise: Noise) -> list[dict[str, Any]]:
    """All estimated numbers as rows of name, value, standard error (None: not estimated) and unit."""
    rows: list[dict[str, Any]] = []

    def add(name: str, value: float | None, error: float | None, unit: str) -> None:
        rows.append({"name": name, "value": value, "error": error, "unit": unit})

    for name in ("dw_min", "up_down", "w_min", "w_max"):
        estimate: Estimate = getattr(found, name)
        shown = "response.up_down" if name == "up_down" else name  # by the names that they have in the card
        add(shown, estimate.value, estimate.error, _UNITS.get(name, "1"))
        add(f"spread.{name}", estimate.spread, None, "1")
    for name, value in found.response.items():
        if isinstance(value, Estimate) and name not in _DEFINED:
            add(f"response.{name}", value.value, value.error, "1")
            if value.spread is not None:
                add(f"response.{name}_spread", value.spread, None, "1")
        elif isinstance(value, tuple):
            for number, node in enumerate(value):
                add(f"response.{name}.{number}", node, None, "dw_min")
    add("noise.cycle", noise.cycle, None, "1")
    add("noise.write", noise.readings / found.dw_min.value, None, "dw_min")
    return rows


def _of_field(field: str, estimate: Estimate, origin: Origin) -> dict[str, Any]:
    """The entries of a response block that one estimate makes: itself, and its spread where the family has one."""
    unit = _UNITS.get(field, "1")
    if field == "reference":
        source = "definition: a line does not tell it from the bounds"
        return {f"reference_{part}": _plain(0.0, unit, source) for part in ("mean", "spread")}
    if field in _DEFINED:
        return {field: _plain(estimate.value, unit, "definition of this fit")}
    if field.endswith("_spread"):
        return {field: _plain(estimate.value, unit, "definition of this fit: all cells have the same exponents")}
    entries = {field: _known(estimate, unit, origin.text)}
    if origin.family == "linear-step":
        one = estimate.spread is None
        source = f"{origin.text}; a single cell shows none" if one else origin.text
        entries[f"{field}_spread"] = _plain(0.0 if estimate.spread is None else estimate.spread, unit, source)
    return entries


def _known(estimate: Estimate, unit: str, source: str) -> dict[str, Any]:
    return _plain(estimate.value, unit, f"{source}; standard error {estimate.error:.2g}")


def _spread(estimate: Estimate, source: str) -> dict[str, Any]:
    if estimate.spread is None:
        return {"value": None, "unit": "1", "source": _ONE_CELL}
    return _plain(estimate.spread, "1", f"{source}; between cells, after taking off the error of each cell's estimate")


def _plain(value: float, unit: str, source: str) -> dict[str, Any]:
    return {"value": _round(value), "unit": unit, "source": source}


def _round(value: float) -> float:
    return float(f"{value:.6g}")
