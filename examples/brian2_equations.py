"""A model as equations of brian2, and how far both simulators of it are apart. Needs the extra `brian2`."""

import torch

import mep_hw
from mep_hw import machine
from mep_hw.brian.equations import layer_text, synapse_text
from mep_hw.cards.changed import changed
from mep_hw.state import Nudge

model = mep_hw.mlp(64, 24, 10, dtype=torch.float64)
for layer in range(1, model.depth + 1):
    print(f"layer {layer}\n{layer_text(model, layer)}\n")
for coupling in range(len(model.couplings)):
    print(f"synapses {coupling}\n{synapse_text(model, coupling)}\n")

data = mep_hw.data.as_data("digits")
x, y = data.x[:20].double(), torch.eye(10, dtype=torch.float64)[data.y[:20]]
strengths = Nudge(torch.tensor([0.5, -0.5], dtype=torch.float64).repeat_interleave(len(x)), y)
states = []
for name in ("reference", "brian2"):
    card, device = machine.cards(name)
    fixed = changed(card, {"settle.tolerance": 0.0, "settle.nudged_tolerance": 0.0, "settle.nudged_sweeps": 50})
    built = machine.build(model, changed(fixed, {"settle.free_sweeps": 100}), device, seed=0)
    free = built.settle(x)
    states.append((free.state, built.settle(x, strengths, free).state))
for phase, ours, theirs in zip(("free", "nudged"), *states, strict=True):
    largest = max(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True))
    print(f"largest difference of a {phase} state {largest:.1e}")
