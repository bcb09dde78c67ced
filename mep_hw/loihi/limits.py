"""What a chip can hold, as data: each limit with its unit, its source and how well that is known.

The bundled chips are the files in `chips/`, one chip each; a user's own is a file of the same form. A limit that nobody
has published is null, and then its confidence is "unknown". Not valid as a substitute for the vendor's compiler, which
alone knows what else shares a core's memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from mep_hw.cards.blocks import Amount, Block
from mep_hw.cards.explain import did_you_mean
from mep_hw.cards.load import is_path, read_card
from mep_hw.cards.schema import Card
from mep_hw.errors import CardError

Confidence = Literal["primary", "code", "secondary", "recalled", "unknown"]
_FOLDER = Path(__file__).parent / "chips"


class Limit(Amount):
    """A number of a chip, and what its source is worth."""

    confidence: Confidence = Field(
        description="primary (the maker says so), code (a tool checks it), secondary, recalled, or unknown for null"
    )

    @model_validator(mode="after")
    def _null_is_unknown(self) -> Limit:
        if (self.value is None) != (self.confidence == "unknown"):
            raise ValueError("confidence must be unknown where the value is null, and only there")
        return self


class Whole(Limit):
    """A limit that counts something."""

    @model_validator(mode="after")
    def _counts(self) -> Whole:
        if self.value is not None and not self.value.is_integer():
            raise ValueError("value must be a whole number, or null")
        return self

    @property
    def count(self) -> int | None:
        return None if self.value is None else int(self.value)


class SynapseMemory(Block):
    """How the synapses of one axon lie in a core's memory; null where that is unknown, and then it is not counted."""

    header_bits: Whole = Field(description="bits in front of a group of synapses of one axon")
    header_synapses: Whole = Field(description="synapses in a group, at most")
    word_bits: Whole = Field(description="bits of a word of memory; a group fills whole words")
    index_bits: Whole = Field(description="bits that name a synapse's neuron where an axon does not reach all of them")
    tag_bits: Whole = Field(description="bits of a synapse that learns on the chip, beside its weight")


class Energies(Block):
    """What one operation takes."""

    synaptic_operation: Limit = Field(description="energy of one synapse that is served when an event arrives")
    neuron_update: Limit = Field(description="energy of one neuron in one step")


class Chip(Card):
    """Limits of one chip."""

    cores_per_chip: Whole = Field(description="cores for neurons and their synapses")
    neurons_per_chip: Whole = Field(description="neurons on all cores")
    neurons_per_core: Whole = Field(description="neurons on one core")
    synapses_per_chip: Whole = Field(description="synapses on all cores")
    synapse_bits_per_core: Whole = Field(description="memory of one core for the synapses into its neurons")
    axons_in_per_core: Whole = Field(description="neurons elsewhere that a core can hear")
    axons_out_per_core: Whole = Field(description="entries of where a core's neurons send to, one per neuron and core")
    weight_bits: Whole = Field(description="bits of a weight with its sign")
    message_bits: Whole = Field(description="bits that an event carries; 1 is a plain spike")
    delay_steps: Whole = Field(description="longest delay of a synapse")
    synapse_memory: SynapseMemory = Field(description="how synapses lie in memory")
    energy: Energies = Field(description="energies of single operations")


def load_chip(name: str | Path) -> Chip:
    """The limits of a chip.

    Args:
        name: a name from `chip_names()`, or the path of a file of the same form.

    Raises:
        CardError: no such chip, not YAML, or a field that breaks its rule.
    """
    if is_path(name):
        path = Path(name).expanduser()
        return read_card(path, str(path), Chip, None)
    if name not in chip_names():
        fix = f"{did_you_mean(str(name), chip_names())}known chips are {', '.join(chip_names())}, or give a YAML file"
        raise CardError("chip", "", name, rule="is not a known chip", fix=fix)
    return read_card(_FOLDER / f"{name}.yaml", f"chips/{name}.yaml", Chip, str(name))


def chip_names() -> list[str]:
    """Names of the bundled chips, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))
