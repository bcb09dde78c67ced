"""Take the layers of an nn.Sequential over into an equilibrium model and train it without backpropagation.

`mep_hw.train` accepts the nn.Sequential itself; converting it first shows what it became. The module is a starting
point only: it is copied, and later changes on either side do not reach the other.
"""

import torch
from torch import nn

import mep_hw
from mep_hw.errors import ModelError

torch.set_num_threads(1)
torch.manual_seed(0)
module = nn.Sequential(nn.Linear(64, 24), nn.Hardtanh(0, 1), nn.Linear(24, 10))
model = mep_hw.from_torch(module)
print(model, "with layers", [layer.shape for layer in model.layers])

untrained = mep_hw.evaluate(model, "digits").accuracy
run = mep_hw.train(model, "digits", epochs=4, batch_size=64, lr=0.01)

try:  # a layer without an energy of this form is refused with a way out
    mep_hw.from_torch(nn.Sequential(nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10)))
except ModelError as error:
    print("refused:", error)
print(f"test accuracy before {untrained:.3f}, after {run.test_accuracy:.3f}")
