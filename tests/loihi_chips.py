"""Chips of a few numbers, for tests of what fits."""

from __future__ import annotations

from typing import Any

from mep_hw.loihi.limits import Chip, load_chip

FREE: dict[str, int | None] = {
    "cores_per_chip": None, "neurons_per_chip": None, "neurons_per_core": None, "synapses_per_chip": None,
    "synapse_bits_per_core": None, "axons_in_per_core": None, "axons_out_per_core": None, "weight_bits": None,
    "message_bits": None, "delay_steps": None,
}  # fmt: skip


def chip(**limits: int | None) -> Chip:
    """A chip of which only these limits are known; synapses take their weights alone."""
    content: dict[str, Any] = load_chip("loihi2").model_dump()
    for name, value in (FREE | limits).items():
        content[name] = known(content[name], value)
    content["synapse_memory"]["tag_bits"] = known(content["synapse_memory"]["tag_bits"], None)
    return Chip.model_validate(content)


def known(limit: dict[str, Any], value: int | None) -> dict[str, Any]:
    number = None if value is None else float(value)
    return limit | {"value": number, "confidence": "unknown" if value is None else "primary"}
