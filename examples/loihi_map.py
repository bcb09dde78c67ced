"""Two models against the limits of a Loihi: one that fits, and one whose neurons would hear too many others."""

import mep_hw
from mep_hw.errors import CapabilityError
from mep_hw.loihi.limits import load_chip
from mep_hw.loihi.mapping import map_model

chip = load_chip("loihi1")
found = map_model(mep_hw.mlp(784, 256, 10), chip, payload_bits=1)
print(f"784-256-10: {found.synapses} synapses, {found.cores} cores")
for layer in found.layers:
    print(f"  {layer.name}: {layer.neurons} neurons on {layer.cores} cores, decided by {layer.decided_by}")
bits = next(check for check in found.checks if check.limit == "synapse_bits_per_core")
print(f"fullest core: {bits.needed} of {bits.value} bits ({bits.source})")
try:
    map_model(mep_hw.mlp(784, 4200, 10), chip, payload_bits=1)
except CapabilityError as error:
    print(f"refused: {error}")
