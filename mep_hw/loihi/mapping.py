"""Does a model fit a chip? Neurons, synapses, their memory, axons and cores against the limits that are known.

Each layer is a population of its own, and so is the input: something must put its values in, as events. A weight takes
memory twice, for both directions of its coupling, but once where it comes from the input. What is not known of a chip
is "unknown" in the report and is never counted as fulfilled; cores are then a lower bound.

An estimate by counting, not the vendor's compiler: see `placing` for how cores are filled and `wiring` for what counts
as a synapse. Not in the count: states, microcode, probes, and the processors that read results out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from mep_hw.coupling import Dense
from mep_hw.errors import CapabilityError
from mep_hw.loihi.limits import Chip, Whole
from mep_hw.loihi.memory import Memory
from mep_hw.loihi.placing import PER_CORE, Placed, place, runs
from mep_hw.loihi.wiring import Wiring, wirings
from mep_hw.model import Model
from mep_hw.ranges import COUNT, require


@dataclass(frozen=True)
class LayerReport:
    """One population. fan_in, fan_out: synapses of the unit with most; `needed` is of its fullest core."""

    name: str
    neurons: int
    fan_in: int
    fan_out: int
    synapses_in: int
    synapse_bits: int
    cores: int
    decided_by: str | None
    needed: dict[str, int]


@dataclass(frozen=True)
class CouplingReport:
    """One coupling in one direction. weights: different numbers; a convolution has fewer of them than synapses."""

    name: str
    direction: Literal["forward", "backward"]
    weights: int
    synapses: int
    bits_per_synapse: int
    dense: bool


@dataclass(frozen=True)
class Check:
    """One limit: what is needed where most is, against what there is. status: unknown, or fits."""

    limit: str
    needed: int
    where: str
    value: int | None
    unit: str
    status: Literal["fits", "unknown"]
    source: str
    confidence: str


@dataclass(frozen=True)
class Mapping:
    """A model on a chip. cores_at_least: the count is a lower bound, as some limit of a core is unknown."""

    chip: str
    model: str
    weight_bits: int
    payload_bits: int
    learning: bool
    neurons: int
    synapses: int
    synapse_bits: int
    cores: int
    cores_at_least: bool
    chips: int | None
    layers: tuple[LayerReport, ...]
    couplings: tuple[CouplingReport, ...]
    checks: tuple[Check, ...]
    assumptions: tuple[str, ...]

    @property
    def unknown(self) -> tuple[str, ...]:
        """Limits that nobody can check this model against."""
        return tuple(check.limit for check in self.checks if check.status == "unknown")

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self) | {"unknown": list(self.unknown)}


def map_model(
    model: Model,
    limits: Chip,
    *,
    weight_bits: int = 8,
    payload_bits: int = 14,
    learning: bool = False,
    chips: int = 1,
) -> Mapping:
    """Count what a model takes of a chip.

    Args:
        weight_bits: of every weight, with its sign.
        payload_bits: of what a unit sends, with its sign; 1 for plain spikes.
        learning: weights learn on the chip, and keep a tag each.
        chips: how many there are.

    Raises:
        InputError: a number below 1.
        CapabilityError: more is needed than there is; names the layer, the limit and its source.
    """
    for name, value in (("weight_bits", weight_bits), ("payload_bits", payload_bits), ("chips", chips)):
        require("map_model", name, value, COUNT, "give a whole number of at least 1")
    checks = [
        _check(limits, "weight_bits", weight_bits, "every weight", fix="take fewer bits"),
        _check(limits, "message_bits", payload_bits, "every event", fix="take fewer bits, or send plain spikes: 1"),
        _check(limits, "delay_steps", 0, "every synapse", fix="leave delays out"),
    ]
    memory, wires = Memory(limits, weight_bits, learning), wirings(model)
    units = [int(np.prod(shape)) for shape in (model.input_shape, *(layer.shape for layer in model.layers))]
    cores = limits.cores_per_chip.count
    found = place(units, wires, memory, None if cores is None else cores * chips)
    layers = tuple(_layer(number, units[number], placed, wires, memory) for number, placed in enumerate(found))
    for name in PER_CORE:
        worst = max(layers, key=lambda layer: layer.needed[name])
        checks.append(_check(limits, name, worst.needed[name], worst.name, fix="take fewer units"))
    totals = {"cores_per_chip": "cores", "neurons_per_chip": "neurons", "synapses_per_chip": "synapses_in"}
    for name, field in totals.items():
        worst = max(layers, key=lambda layer: getattr(layer, field))
        total = sum(getattr(layer, field) for layer in layers)
        checks.append(_check(limits, name, total, f"all layers, most in {worst.name}", chips))
    return Mapping(
        chip=limits.name, model=model.name, weight_bits=weight_bits, payload_bits=payload_bits, learning=learning,
        neurons=sum(units), synapses=sum(w.synapses for w in wires),
        synapse_bits=sum(layer.synapse_bits for layer in layers), cores=sum(p.cores for p in found),
        cores_at_least=any(getattr(limits, name).value is None for name in PER_CORE) or not memory.whole,
        chips=_chips(limits, checks[-len(totals) :]), layers=layers,
        couplings=tuple(_coupling(w, memory) for w in wires), checks=tuple(checks),
        assumptions=tuple(_assumptions(model, memory)),
    )  # fmt: skip


def _layer(number: int, units: int, placed: Placed, wires: Sequence[Wiring], memory: Memory) -> LayerReport:
    into = [w for w in wires if w.target == number]
    heard = [(w, w.heard(*run).tolist()) for run in runs(units, placed.cores) for w in into]
    return LayerReport(
        name="input" if number == 0 else f"layer {number}", neurons=units,
        fan_in=sum(w.fan_in for w in into), fan_out=sum(w.fan_out for w in wires if w.source == number),
        synapses_in=sum(w.synapses for w in into),
        synapse_bits=sum(memory.of_axon(w, synapses) for w, counts in heard for synapses in counts),
        cores=placed.cores, decided_by=placed.decided_by, needed=placed.needed,
    )  # fmt: skip


def _coupling(wiring: Wiring, memory: Memory) -> CouplingReport:
    direction = "backward" if wiring.backward else "forward"
    return CouplingReport(
        wiring.coupling, direction, wiring.weights, wiring.synapses, memory.of_synapse(wiring), wiring.dense
    )


def _check(
    chip: Chip, name: str, needed: int, where: str, times: int = 1, fix: str = "take fewer units, or more chips"
) -> Check:
    """One limit of `times` chips.

    Raises:
        CapabilityError: it is known and not met.
    """
    limit: Whole = getattr(chip, name)
    value = None if limit.count is None else limit.count * times
    if value is not None and needed > value:
        rule = f"is above {value} {limit.unit} ({limit.source})"
        raise CapabilityError(f"chip {chip.name}", f"{where}, {name}", needed, rule=rule, fix=fix)
    status = "unknown" if value is None else "fits"
    return Check(name, needed, where, value, limit.unit, status, limit.source, limit.confidence)


def _chips(limits: Chip, totals: Sequence[Check]) -> int | None:
    """Chips that these totals fill, at least; None where no total has a known limit."""
    counts = [-(-check.needed // each) for check in totals if (each := getattr(limits, check.limit).count)]
    return max(counts, default=None)


def _assumptions(model: Model, memory: Memory) -> Iterator[str]:
    yield "populations do not share cores, and each is spread evenly over its own"
    yield "the input is a population of its own, whose values are put in as events; it has no synapses"
    if any(not isinstance(k.operator, Dense) for k in model.couplings):
        yield "shared weights are unrolled: each synapse of a convolution takes memory by itself"
    if any(k.before or k.after for k in model.couplings):
        yield "average pooling is part of the synapses of its coupling, with weights of as many bits"
    if not model.loss.in_energy:
        yield "softmax of the read-out is left to the host: the backend loihi refuses it"
    if not memory.whole:
        yield "of synapse memory weights are counted, and not all that lies beside them, which is unknown"
    if memory.chip.message_bits.count == 1:
        yield "plain spikes: units would have to send their values as rates, which the emulator does not do"
