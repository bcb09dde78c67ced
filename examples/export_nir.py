"""Write a trained model as a NIR file, read it again, and let the graph settle by itself in plain numpy.

The second part writes spiking units in place of leaky ones, calibrated on training samples, and tells how far their
rates are from the model's states on test samples.
"""

import tempfile
from pathlib import Path

import torch

import mep_hw
from mep_hw.data import as_data
from mep_hw.export import from_nir, to_nir, to_spiking_nir, write_nir
from mep_hw.export.files import read_graph
from mep_hw.export.measure import measure
from mep_hw.export.simulate import simulate

torch.set_num_threads(1)
digits = as_data("digits")
x, labels = digits.test_x[:100], digits.test_y[:100]
model = mep_hw.train(mep_hw.mlp(64, 24, 10), digits, epochs=8, progress=False).model

with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "model.nir"
    write_nir(file, to_nir(model))
    graph, read = read_graph(file), from_nir(file)
kept = sum(torch.equal(a, b) for a, b in zip(model.weights, read.weights, strict=True))
print(f"couplings bit for bit {kept} of {len(model.weights)}")

settled = simulate(graph, x.numpy(), seconds=1.0, average=0.001, dt=0.001).output
print(f"largest difference of a read-out {abs(settled - model(x).numpy()).max():.1e}")

found = measure(to_spiking_nir(model, digits.x[:200]), model, x, labels)
print(f"spiking: rate error {found.rate_error:.3f}, accuracy {found.accuracy:.2f}, model {found.model_accuracy:.2f}")
