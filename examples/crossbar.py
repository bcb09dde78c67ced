"""Train on an array of noisy memory cells, and say what it took."""

import mep_hw

run = mep_hw.train(mep_hw.mlp(64, 24, 10), backend="crossbar", device="ecram", epochs=6, control=True)
cost = run.cost
print(f"on cells: {run.test_accuracy:.3f}, hidden weights frozen: {run.control_accuracy:.3f}")
print(f"cost: {cost.cycles} cycles, {cost.slots} slots, {cost.pulses} pulses")
