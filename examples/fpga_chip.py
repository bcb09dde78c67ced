"""An FPGA that learns by itself, one sample after the other; and its states, bit for bit those of the specification."""

from pathlib import Path

import torch

import mep_hw
from mep_hw import data, machine
from mep_hw.cards import load_backend
from mep_hw.fpga import oracle
from mep_hw.fpga.numbers import whole_inputs, whole_targets
from mep_hw.state import Nudge
from mep_hw.substrates.fpga import Fpga

card = load_backend(Path(__file__).with_name("fpga_chip.yaml"))
run = mep_hw.train(mep_hw.mlp(64, 24, 10), backend=card, epochs=1, progress=False)
print(f"learned on the chip: test accuracy {run.test_accuracy:.3f} after {run.cost.cycles} updates of a layer")

chip = machine.build(run.model, card, None, seed=0)
assert isinstance(chip, Fpga)
digits = data.digits()
x, y = digits.test_x[:40], torch.eye(10)[digits.test_y[:40]]
free = chip.settle(x)
nudged = chip.settle(x, Nudge(torch.tensor([0.125] * 40 + [-0.125] * 40), y), free)

expected = oracle.run(chip.spec, chip.values, whole_inputs(chip.spec, x), whole_targets(chip.spec, y))
compared = equal = 0
for layer, form in enumerate(chip.spec.layers[1:]):
    found = torch.cat([free.state[layer], nudged.state[layer]]).double() / form.state.step
    phases = (expected.free, expected.plus, expected.minus)
    wanted = torch.cat([torch.from_numpy(phase[layer]) for phase in phases])
    compared, equal = compared + wanted.numel(), equal + int((found == wanted).sum())
print(f"states equal to the oracle: {equal} of {compared}")
