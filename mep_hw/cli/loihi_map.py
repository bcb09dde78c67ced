"""`mep-hw loihi map`: does a model fit a chip?"""

from __future__ import annotations

from typing import Annotated

import typer

from mep_hw.cli import flags, models, output
from mep_hw.loihi.limits import chip_names, load_chip
from mep_hw.loihi.mapping import Mapping, map_model

EXAMPLES = "Examples:\n\nmep-hw loihi map 64-24-10\n\nmep-hw loihi map 784-256-10 --chip loihi1 --payload-bits 1 --json"


def map_command(
    model: Annotated[str, typer.Argument(help="Layer sizes such as 64-24-10, or a YAML or JSON file.")],
    chip: Annotated[
        str, typer.Option(help=f"Limits: {' or '.join(chip_names())}, or the path of a YAML file.")
    ] = "loihi2",
    weight_bits: Annotated[int, typer.Option(min=1, help="Of every weight, with its sign.")] = 8,
    payload_bits: Annotated[
        int, typer.Option(min=1, help="Of what a unit sends, with its sign; 1 for plain spikes.")
    ] = 14,
    chips: Annotated[int, typer.Option(min=1, help="How many chips there are.")] = 1,
    learning: Annotated[
        bool, typer.Option("--learning", help="Weights learn on the chip, and keep a tag each.")
    ] = False,
    as_json: flags.Json = False,
) -> None:
    """Count neurons, synapses, memory, axons and cores of a model against a chip's limits, each with its source."""
    found = map_model(
        models.build(model, seed=0), load_chip(chip), weight_bits=weight_bits, payload_bits=payload_bits,
        learning=learning, chips=chips,
    )  # fmt: skip
    if as_json:
        output.print_json(found.as_dict())
        return
    _show(found)


def _show(found: Mapping) -> None:
    per_core = ("neurons_per_core", "synapse_bits_per_core", "axons_in_per_core", "axons_out_per_core")
    output.rows(
        ("population", "neurons", "fan_in", "fan_out", "synapses", "kbit", "cores", "decided_by", *per_core),
        [
            [
                *(k.name, k.neurons, k.fan_in, k.fan_out, k.synapses_in, k.synapse_bits / 1000, k.cores, k.decided_by),
                *(k.needed[name] for name in per_core),
            ]
            for k in found.layers
        ],
    )
    output.rows(
        ("coupling", "direction", "weights", "synapses", "bits_each", "dense"),
        [[k.name, k.direction, k.weights, k.synapses, k.bits_per_synapse, k.dense] for k in found.couplings],
    )
    output.rows(
        ("limit", "needed", "there_is", "unit", "status", "where", "confidence", "source"),
        [[k.limit, k.needed, k.value, k.unit, k.status, k.where, k.confidence, k.source] for k in found.checks],
    )
    least = "at least " if found.cores_at_least else ""
    output.pairs(
        [("model", found.model), ("chip", found.chip), ("neurons", found.neurons), ("synapses", found.synapses),
         ("synapse memory", f"{least}{found.synapse_bits} bit"), ("cores", f"{least}{found.cores}"),
         ("chips", None if found.chips is None else f"{least}{found.chips}"), ("unknown", list(found.unknown)),
         *(("assumed", text) for text in found.assumptions)]
    )  # fmt: skip
