"""What can be wrong with a crossbar: one line per source of error, with what its cards then say.

A source at its `ideal` strength changes nothing of the crossbar without errors (`error_cards`); `all` turns it into the
bundled crossbar with the bundled device, every error multiplied.

Strengths are per cell, line or conversion, in the units of the cards, and alike in both reading directions. They are
chosen to reach from harmless to ruinous for a small model, and say nothing of how likely a chip is to have them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from mep_hw.cards import BackendCard, DeviceCard
from mep_hw.studies.error_cards import BACKEND, DEVICE, ORIGIN, STEP, Block, Changes, bundled, cards_with, value_at

DAC_RANGE, ADC_RANGE = 1.0, 4.0  # the bundled crossbar's; a converter that rounds needs one


@dataclass(frozen=True)
class Source:
    """One source of error.

    Args:
        strengths: those that the study tries, the mildest first.
        unit: of the strengths; 1 for a share or factor.
        at: what the cards have at a strength.
        ideal: the strength at which there is no error.
    """

    name: str
    meaning: str
    unit: str
    strengths: tuple[float, ...]
    at: Callable[[float], Changes]
    ideal: float = 0.0

    def cards(self, strength: float) -> tuple[BackendCard, DeviceCard]:
        """A crossbar with this error alone."""
        return cards_with(self.at(strength))


def _array(*places: str) -> Callable[[float], Changes]:
    return lambda value: {f"array.{place}": value for place in places}


def _lines(*places: str) -> Callable[[float], Changes]:
    """The same for forward and transposed reads."""
    return _array(*(f"{direction}.{place}" for direction in ("forward", "transposed") for place in places))


def _cell(*places: str) -> Callable[[float], Changes]:
    return lambda value: {f"device.{place}.value": value for place in places}


def _bits(converter: str, largest: float) -> Callable[[float], Changes]:
    def at(bits: float) -> Changes:
        if bits == math.inf:
            return {}
        numbers: Changes = {"bits": int(bits), "range": largest}
        return {f"array.{way}.{converter}.{key}": v for way in ("forward", "transposed") for key, v in numbers.items()}

    return at


def _saturation(largest: float) -> Changes:
    return _lines("adc.range")(largest) if largest < math.inf else {}


def _narrow(lost: float) -> Changes:
    return {"device.w_min.value": lost - 1, "device.w_max.value": 1 - lost}


def _leak(rate: float) -> Changes:
    if rate == 0:
        return {}
    lifetime, spread = {"value": 1 / rate, "unit": "update"}, {"value": 0.0, "unit": "1"}
    law = {"law": "leak", "lifetime": lifetime | {"source": ORIGIN}, "lifetime_spread": spread | {"source": ORIGIN}}
    return {"device.retention": law}


SCALED = (
    "array.read_noise.absolute", "device.dw_min.value", "device.response.gamma_up.value",
    "device.response.gamma_down.value", "device.response.gamma_up_spread.value",
    "device.response.gamma_down_spread.value", "device.spread.dw_min.value", "device.spread.up_down.value",
    "device.spread.w_min.value", "device.spread.w_max.value", "device.noise.cycle.value",
)  # fmt: skip


def _all(factor: float) -> Changes:
    """Every error of the bundled cards, multiplied: a converter loses one bit where its error doubles."""
    if factor == 0:
        return {}
    backend, device = bundled()
    real: Block = {"array": backend.model_dump()["array"], "device": device.model_dump()}
    changes: Changes = {place: factor * value_at(real, place) for place in SCALED}
    changes |= {place: value_at(real, place) for place in ("device.w_min.value", "device.w_max.value")}
    for converter in ("dac", "adc"):
        numbers = real["array"]["forward"][converter]
        changes |= _bits(converter, numbers["range"])(max(2, numbers["bits"] - round(math.log2(factor))))
    return changes


SOURCES = (
    Source("dac-bits", "resolution of DACs", "bit", (6, 4, 3, 2), _bits("dac", DAC_RANGE), math.inf),
    Source("adc-bits", "resolution of ADCs", "bit", (8, 6, 5, 4), _bits("adc", ADC_RANGE), math.inf),
    Source("adc-range", "saturation of ADCs", "drive", (2, 1, 0.5, 0.25), _saturation, math.inf),
    Source("gain-spread", "gain of converters, between lines", "1", (0.02, 0.05, 0.1, 0.2),
           _lines("dac.gain_sd", "adc.gain_sd")),
    Source("offset", "zero of all ADCs", "drive", (0.05, 0.1, 0.2, 0.5), _lines("adc.offset")),
    Source("offset-spread", "zero of ADCs, between lines", "drive", (0.05, 0.1, 0.2, 0.5), _lines("adc.offset_sd")),
    Source("adc-noise", "noise of one conversion", "drive", (0.02, 0.05, 0.1, 0.2), _lines("adc.noise_sd")),
    Source("phase-gain", "gain of nudged against free reads, between lines", "1", (0.005, 0.01, 0.02, 0.05),
           _array("phase_mismatch.gain_sd")),
    Source("phase-offset", "zero of nudged against free reads, between lines", "drive", (0.005, 0.01, 0.02, 0.05),
           _array("phase_mismatch.offset_sd")),
    Source("read-noise", "of a cell, as a share of the range", "1", (0.005, 0.02, 0.05, 0.1),
           _array("read_noise.absolute")),
    Source("relative-read-noise", "of a cell, as a share of its conductance", "1", (0.01, 0.03, 0.1, 0.2),
           _array("read_noise.relative")),
    Source("wires", "word and bit lines, per cell", "ohm", (2, 10, 30, 100), _array("wires.word_ohm", "wires.bit_ohm")),
    Source("step", "weight change by one pulse", "weight", (0.002, 0.01, 0.05, 0.2), _cell("dw_min"), STEP),
    Source("asymmetry", "share that down steps lack", "1", (0.1, 0.3, 0.6, 0.9), _cell("response.up_down")),
    Source("soft-bounds", "share that steps lack at the bound ahead", "1", (0.25, 0.5, 0.75, 1),
           _cell("response.gamma_up", "response.gamma_down")),
    Source("step-spread", "steps, between cells", "1", (0.1, 0.3, 0.6, 1), _cell("spread.dw_min")),
    Source("asymmetry-spread", "up against down steps, between cells", "1", (0.01, 0.1, 0.3, 0.6),
           _cell("spread.up_down")),
    Source("range", "missing share of the range", "1", (0.5, 0.75, 0.9, 0.95), _narrow),
    Source("range-spread", "both bounds, between cells", "1", (0.05, 0.3, 0.6, 1),
           _cell("spread.w_min", "spread.w_max")),
    Source("cycle-noise", "steps, from pulse to pulse", "1", (0.3, 2, 10, 30), _cell("noise.cycle")),
    Source("write-noise", "what is read against what is stored", "weight", (0.01, 0.03, 0.1, 0.2),
           lambda sd: _cell("noise.write")(sd / STEP)),
    Source("stuck", "share of cells that no pulse moves", "1", (0.01, 0.05, 0.1, 0.2), _cell("stuck.share")),
    Source("half-select", "share of a step by half a voltage on a neighbour's line", "1", (0.001, 0.003, 0.01, 0.03),
           _array("writing.disturb")),
    Source("leak", "share of a weight lost with every update", "1", (0.0001, 0.001, 0.003, 0.01), _leak),
    Source("all", f"all errors of {BACKEND} and {DEVICE}", "times", (0.5, 1, 2, 4), _all),
)  # fmt: skip
