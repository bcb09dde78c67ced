"""Compare the contrast of every estimator with the exact gradient of the loss.

The model has smooth units and is settled to 1e-12 in float64, so what is left is the error of the estimator alone.
Halving beta shows its order: the error falls by 2 for order 1, by 4 for order 2, by 16 for order 4.
"""

import math

import torch

import mep_hw
from mep_hw.estimator import NAMES
from mep_hw.gradcheck import gradient_check

torch.set_num_threads(1)
model = mep_hw.mlp(10, 8, 8, 4, activation="sigmoid")


def error(name: str, beta: float) -> float:
    """Largest relative error of the norm of a layer's contrast."""
    return gradient_check(model, estimator=name, beta=beta, samples=32).max_norm_error


print("estimator     error at beta 0.1    at 0.05    order")
for name in NAMES:
    coarse, fine = error(name, 0.1), error(name, 0.05)
    print(f"{name:12}  {coarse:17.2e}  {fine:9.2e}  {math.log2(coarse / fine):7.2f}")

report = gradient_check(model, samples=32)  # centered, at the small beta that is the default of a check
for layer in report.layers:
    print(f"{layer.name:12}  cosine {layer.cosine:.9f}  norm ratio {layer.norm_ratio:.9f}")
print(f"order of centered {math.log2(error('centered', 0.1) / error('centered', 0.05)):.2f}")
print(f"order of richardson {math.log2(error('richardson', 0.1) / error('richardson', 0.05)):.2f}")
print(f"smallest cosine {report.min_cosine:.9f}")
