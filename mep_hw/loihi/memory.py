"""What synapses take of a core's memory: weights, and what lies beside them as far as a chip says it.

Synapses of one axon lie in groups with a header each, in whole words (nengo-loihi's `bits_per_axon`, Loihi 1). Where
the header, the group or the word is unknown, weights alone are counted, which is too little.
"""

from __future__ import annotations

from dataclasses import dataclass

from mep_hw.loihi.limits import Chip
from mep_hw.loihi.wiring import Wiring


@dataclass(frozen=True)
class Memory:
    """The format of all synapses on one chip. learning: they keep a tag each."""

    chip: Chip
    weight_bits: int
    learning: bool

    @property
    def whole(self) -> bool:
        """Everything that lies beside a weight is known."""
        format = self.chip.synapse_memory
        return None not in (
            format.header_bits.value, format.header_synapses.value, format.word_bits.value, format.index_bits.value,
            format.tag_bits.value if self.learning else 0,
        )  # fmt: skip

    def of_synapse(self, wiring: Wiring) -> int:
        """Bits of one synapse without its share of headers."""
        format = self.chip.synapse_memory
        index = 0 if wiring.dense else format.index_bits.count or 0
        tag = format.tag_bits.count or 0 if self.learning and wiring.learned else 0
        return self.weight_bits + index + tag

    def of_axon(self, wiring: Wiring, synapses: int) -> int:
        """Bits of an axon with so many synapses on one core."""
        format, bits = self.chip.synapse_memory, self.of_synapse(wiring)
        header, group, word = format.header_bits.count, format.header_synapses.count, format.word_bits.count
        if header is None or group is None or word is None:
            return synapses * bits
        whole, rest = divmod(synapses, group)
        return whole * _words(group * bits + header, word) + (_words(rest * bits + header, word) if rest else 0)


def _words(bits: int, word: int) -> int:
    return -(-bits // word) * word
